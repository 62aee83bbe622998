"""Messages on standard error, and control characters removed from them."""

import pytest

from hipcli.errors import HipError
from hipcli.output import messages


@pytest.fixture(autouse=True)
def not_quiet() -> None:
    messages.set_quiet(False)


def test_error_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    messages.report(HipError("a\nb.txt: bad\x1b[2J", "try\nagain"))
    assert capsys.readouterr().err == "hip: error: a b.txt: bad[2J\nhint: try again\n"


def test_quiet_leaves_errors_alone(capsys: pytest.CaptureFixture[str]) -> None:
    messages.warn("w")
    messages.say("s")
    messages.set_quiet(True)
    messages.warn("w")
    messages.say("s")
    messages.report(HipError("e"))
    captured = capsys.readouterr()
    assert captured.err == "hip: warning: w\ns\nhip: error: e\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain\n\ttext é 漢", "plain\n\ttext é 漢"),
        ("\x1b]0;title\x07", "]0;title"),
        ("a\x9b31mb\x7f\x00\r\x08", "a31mb"),
    ],
)
def test_printable(text: str, safe: str) -> None:
    assert messages.printable(text) == safe
