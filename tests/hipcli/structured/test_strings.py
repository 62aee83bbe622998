"""The string that is open at the end of an answer."""

from collections.abc import Sequence

import pytest

from hipcli.structured.strings import OpenString


def said(pieces: Sequence[str]) -> list[int]:
    string = OpenString()
    for count, piece in enumerate(pieces, 1):
        string.push(piece, count)
    return list(string.said(range(len(pieces))))


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (['{"a', '": "', "the", " mill"], [2, 3]),
        (['{"a', '": "', "the", " mill", '"'], []),
        (['{"a', '": "', "the", '", "b": "', "of"], [4]),
        (['"', "\\", '"', "x"], [1, 2, 3]),
        (['"', "\\\\", '"', "x"], []),
        (['"', "", "é"], [1, 2]),
        (["\\", '"', "x"], [2]),
        ([], []),
    ],
)
def test_only_its_own_tokens_count(pieces: Sequence[str], expected: list[int]) -> None:
    assert said(pieces) == expected
