"""Answers that are none: what a broken model, or a broken program, says instead of nothing."""

from collections import Counter
from collections.abc import Sequence

_REPLACEMENT = "\ufffd"
_MANY = 16  # tokens; fewer may well be alike
_SHARE = 0.8
ENOUGH = 4  # different tokens that rule out all of it but replacement characters


def no_answer(text: str, tokens: Sequence[int]) -> str | None:
    """Why `text`, which these tokens make up, is no answer; None where it may be one."""
    if not text.strip():
        return "the answer is empty"
    shown = "".join(text.split())
    if shown.count(_REPLACEMENT) * 2 > len(shown):
        return "the answer is replacement characters, not text"
    if len(tokens) >= _MANY and Counter(tokens).most_common(1)[0][1] >= _SHARE * len(tokens):
        return "the answer is one token over and over"
    return None


def may_be_none(text: str, tokens: Sequence[int]) -> bool:
    """Whether the beginning of an answer, as it is so far, could become no answer."""
    return len(set(tokens)) < ENOUGH or no_answer(text, tokens) is not None
