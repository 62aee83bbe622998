"""Right-to-left lines (Arabic, Hebrew) of text taken out of a PDF, in the order in which they are read.

PDFium takes the letters of such a line to be drawn from left to right, as on the page, and turns them round. Two
kinds of files defeat it: those whose own replacement text (/ActualText) is in the wrong order or shifted by a letter,
and those that draw the letters in the order in which they are read. Letters that only begin or only end words tell
which way round a line is.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# The digits in these ranges run from left to right.
_RIGHT = "\u0590-\u065f\u066b-\u06ef\u06fa-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
_RIGHT_TO_LEFT = re.compile(f"[{_RIGHT}]")
_WORD = re.compile(f"[{_RIGHT}]{{2,40}}")
_RIGHT_RUN = re.compile(f"[{_RIGHT}](?:[^\\w\\n]{{0,3}}[{_RIGHT}])*")
_LEFT_RUN = re.compile(f"(?:(?![{_RIGHT}])\\w)(?:[^{_RIGHT}\\n]{{0,3}}(?:(?![{_RIGHT}])\\w))*")
_LETTER = re.compile(r"[^\W\d_]")
# Not U+FB29, which is a plus sign.
_PRESENTATION_FORM = re.compile("[\ufb1d-\ufb28\ufb2a-\ufdff\ufe70-\ufefc]")
_LEADING_STOP = re.compile(f"(?m)^([.:!?،؛؟])(?=[{_RIGHT}])(.*[{_RIGHT}\\d])$")
_MIRROR = str.maketrans("()[]{}<>«»", ")(][}{><»«")
_ONLY_LAST = frozenset("ךםןףץةىءےں")
_ARTICLE = "ال"
_MIN_ARTICLE_WORD = 4  # letters: shorter words end in the article's letters, too
_MOSTLY = 3  # times as many words one way round as the other
_MIN_LETTERS = 0.9  # share
_MANY_LETTERS = 8  # on lines of their own


@dataclass(frozen=True)
class _Evidence:
    """How many words are the right way round, and how many are reversed, where their letters tell."""

    right: int = 0
    reversed: int = 0

    def __add__(self, other: "_Evidence") -> "_Evidence":
        return _Evidence(self.right + other.right, self.reversed + other.reversed)


def has_right_to_left(text: str) -> bool:
    """Whether any letter is Arabic, Hebrew or of a related script."""
    return _RIGHT_TO_LEFT.search(text) is not None


def is_right_to_left(texts: Sequence[str]) -> bool:
    """Whether most letters are Arabic, Hebrew or of a related script."""
    right = sum(len(_RIGHT_TO_LEFT.findall(text)) for text in texts)
    return 2 * right > sum(len(_LETTER.findall(text)) for text in texts)


def order_right_to_left(text: str) -> str:
    """`text` of a page with its right-to-left lines in the order in which they are read, in plain letters."""
    if not has_right_to_left(text):
        return text
    lines = text.split("\n")
    evidence = [_evidence(line) for line in lines]
    page = sum(evidence, _Evidence())
    page_reversed = page.reversed > _MOSTLY * page.right
    ordered = [
        _turned(line) if found.reversed > found.right or (page_reversed and found == _Evidence()) else line
        for line, found in zip(lines, evidence, strict=True)
    ]
    return _LEADING_STOP.sub(r"\2\1", _PRESENTATION_FORM.sub(_plain, "\n".join(ordered)))


def is_doubtful(text: str) -> bool:
    """Whether an ordered page still has words that are reversed, or too many single letters to be words."""
    page = _evidence(text)
    letters = sum(len(line.strip()) == 1 and has_right_to_left(line) for line in text.split("\n"))
    return (page.reversed >= 2 and _MOSTLY * page.reversed > page.right) or letters >= _MANY_LETTERS


def better(first: str, second: str) -> str:
    """That of two readings of a page in which more right-to-left words are the right way round, else the second.

    `second` is to be the reading without replacement text; where that lacks letters the file has no other text.
    """
    one, two = _evidence(order_right_to_left(first)), _evidence(order_right_to_left(second))
    letters = [len(_RIGHT_TO_LEFT.findall(text)) for text in (first, second)]
    if letters[1] < _MIN_LETTERS * letters[0]:
        return first
    return first if one.right * two.reversed > two.right * one.reversed else second


def _evidence(text: str) -> _Evidence:
    right = reversed_ = 0
    for word in _words(text):
        first, last = word[0], word[-1]
        begins_right = _form(first) == "<initial>" or (word.startswith(_ARTICLE) and len(word) >= _MIN_ARTICLE_WORD)
        ends_right = last in _ONLY_LAST or (_form(last) == "<final>" and _form(first) != "<final>")
        begins_wrong = first in _ONLY_LAST or (_form(first) == "<final>" and _form(last) != "<final>")
        ends_wrong = _form(last) == "<initial>" or (word.endswith(_ARTICLE[::-1]) and len(word) >= _MIN_ARTICLE_WORD)
        right += begins_right or ends_right
        reversed_ += begins_wrong or ends_wrong
    return _Evidence(right, reversed_)


def _words(text: str) -> Iterator[str]:
    """Right-to-left words without the marks on their letters."""
    for match in _WORD.finditer(text):
        word = "".join(letter for letter in match[0] if unicodedata.category(letter).startswith("L"))
        if len(word) >= 2:
            yield word


def _form(letter: str) -> str:
    return unicodedata.decomposition(letter).partition(" ")[0]


def _turned(line: str) -> str:
    if len(_RIGHT_TO_LEFT.findall(line)) * 2 > len(_LETTER.findall(line)):
        return _LEFT_RUN.sub(_back, line[::-1].translate(_MIRROR))
    return _RIGHT_RUN.sub(_back, line)


def _back(match: re.Match[str]) -> str:
    return match[0][::-1].translate(_MIRROR)


def _plain(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0]).strip()
