"""Right-to-left lines of text taken out of a PDF."""

import re
from collections.abc import Sequence

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_LETTER = re.compile(r"[^\W\d_]")


def is_right_to_left(texts: Sequence[str]) -> bool:
    """Whether most letters are Arabic, Hebrew or of a related script."""
    return 2 * sum(map(_count_right_to_left, texts)) > sum(len(_LETTER.findall(text)) for text in texts)


def _count_right_to_left(text: str) -> int:
    return len(_RIGHT_TO_LEFT.findall(text))


def order_right_to_left(text: str) -> str:
    """`text` of a page with its right-to-left lines in the order in which they are read."""
    return text
