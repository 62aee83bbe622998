"""Messages on standard error, in one line each that steers no terminal."""

import pytest

from hipcli.errors import HipError
from hipcli.output import messages


@pytest.fixture(autouse=True)
def not_quiet() -> None:
    messages.set_quiet(False)


def test_error_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    messages.report(HipError("a\nb.txt: bad\x1b[2J\u2028", "try\nagain"))
    assert capsys.readouterr().err == "hip: error: a b.txt: bad\\x1b[2J\\u2028\nhint: try again\n"


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


def test_one_line() -> None:
    assert messages.one_line("a\nb\tc\rd\x1b\u202e\udce9\r\n.txt") == r"a b c\rd\x1b\u202e\udce9\r .txt"
