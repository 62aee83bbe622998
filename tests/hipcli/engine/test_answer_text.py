"""What tokens of an answer become: text, a loop, or nothing that could be called an answer."""

import pytest
from small_engine import Bytes

from hipcli.engine.loops import repeats
from hipcli.engine.no_answer import may_be_none, no_answer
from hipcli.engine.text_stream import TextStream


def test_text_never_shows_half_a_character() -> None:
    stream = TextStream(Bytes())
    pieces = [stream.push(byte) for byte in "aé€😀b".encode()]
    assert "".join(pieces) == "aé€😀b"
    assert all("\ufffd" not in piece for piece in pieces)
    assert pieces[1] == ""
    stream.push(0xE2)
    assert stream.flush() == "\ufffd"


def test_a_passage_said_four_times_is_a_loop() -> None:
    story = list(range(1000))
    passage = [7, 8, 9] * 10
    assert repeats([*story, *passage * 4])
    assert repeats([*story, *[5] * 96])
    assert not repeats([*story, *[5] * 95])
    assert not repeats([*story, *story[:60] * 3])
    assert not repeats([*passage * 4, 1])
    assert not repeats([])


@pytest.mark.parametrize(
    ("text", "tokens", "fault"),
    [
        ("", [], "empty"),
        (" \n", [1, 2], "empty"),
        ("\ufffd\ufffd x", [1, 2, 3], "replacement characters"),
        ("-" * 16, [5] * 16, "one token over and over"),
        ("-" * 13 + "abc", [5] * 13 + [1, 2, 3], "one token over and over"),
    ],
)
def test_what_is_no_answer(text: str, tokens: list[int], fault: str) -> None:
    assert fault in (no_answer(text, tokens) or "")
    assert may_be_none(text, tokens)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("7", [1]),
        ("no no no", [1] * 3),
        ("-" * 15, [5] * 15),
        ("-" * 12 + "abcd", [5] * 12 + [1, 2, 3, 4]),
        ("Müller \ufffd 12 \ufffd", list(range(8))),
    ],
)
def test_what_may_be_an_answer(text: str, tokens: list[int]) -> None:
    assert no_answer(text, tokens) is None


def test_an_answer_is_held_back_until_it_cannot_be_none() -> None:
    assert may_be_none("aaa", [1, 1, 1]) and may_be_none("abc", [1, 2, 3])
    assert not may_be_none("abcd", [1, 2, 3, 4])
