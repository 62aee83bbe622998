"""Words that a line end divides, put together again.

A hyphen at a line end may divide a word (posses-sion) or belong to it (self-evident). What the document writes
within its lines decides; without such evidence the hyphen stays and the line end goes: "tire-some" can still be
read, "selfevident" is no word.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

# Lengths are bounded, and words entered at their beginning, to take linear time on any input.
_LINE_END_HYPHEN = re.compile(r"\b(\w{1,40})([-\u00ad])\n(\w{1,40})")
_COMPOUND = re.compile(r"\b(\w{1,40})-(?=(\w{1,40}))")
_WORD = re.compile(r"(?<![\w-])\w{1,80}(?![\w-])")
_MIN_SHARED = 3  # letters after the hyphen that a word has, too, if it is another form of the one that is divided

# After one of these a hyphen stands for the rest of the next word: pre- and post-war, Straßen- und Wege.
_AND = frozenset(["and", "or", "und", "oder", "bis", "sowie", "et", "ou", "och", "eller", "og", "samt"])
_ADDRESS = re.compile(r"://|www\.|@")
_MAX_ADDRESS = 200  # characters


def join_hyphenated(texts: Sequence[str]) -> list[str]:
    """`texts` of pages with the words together that line ends divide; both forms count on all the pages."""
    if not any(_LINE_END_HYPHEN.search(text) for text in texts):
        return list(texts)
    written = _Written(texts)
    return [_LINE_END_HYPHEN.sub(written.join, text) for text in texts]


class _Written:
    """What a document writes within its lines."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.words: Counter[str] = Counter()
        self.compounds: Counter[tuple[str, str]] = Counter()
        for text in texts:
            within = _LINE_END_HYPHEN.sub("-\n", text).lower()
            self.words.update(_WORD.findall(within))
            self.compounds.update(_COMPOUND.findall(within))
        self.in_order = sorted(self.words)

    def join(self, match: re.Match[str]) -> str:
        first, hyphen, second = match.groups()
        halves = (first.lower(), second.lower())
        joined, compound = self.words["".join(halves)], self.compounds[halves]
        if joined > compound:
            return first + second
        if compound:
            return f"{first}-{second}"
        if hyphen == "\u00ad":
            return first + second
        if first.isdecimal() and second.isdecimal():
            return f"{first}-{second}" if _is_range(match) else match[0]
        if _in_address(match):
            return f"{first}-{second}"
        # A capital or a figure may be the beginning of something else than the rest of this word.
        if not (first[-1].isalpha() and (second[0].islower() or (first.isupper() and second.isupper()))):
            return match[0]
        if second in _AND and match.string[match.end() : match.end() + 1] == " ":
            return f"{first}- {second}"
        return first + second if self._has_other_form(*halves) else f"{first}-{second}"

    def _has_other_form(self, first: str, second: str) -> bool:
        if len(second) < _MIN_SHARED:
            return False
        beginning = first + second[:_MIN_SHARED]
        place = bisect_left(self.in_order, beginning)
        return place < len(self.in_order) and self.in_order[place].startswith(beginning)


def _is_range(match: re.Match[str]) -> bool:
    """Whether two numbers are such as 2019-2020 in a sentence, and not amounts below each other in a column."""
    first, _, second = match.groups()
    text = match.string
    line = text[max(text.rfind("\n", 0, match.start()) + 1, match.start() - _MAX_ADDRESS) : match.start()]
    return (
        len(first) == len(second)
        and first < second
        and any(character.isalpha() for character in line)
        and not line.endswith((".", ","))
        and not re.match(r"[.,]\d", text[match.end() : match.end() + 2])
    )


def _in_address(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - _MAX_ADDRESS) : match.start()]
    return bool(before) and not before[-1].isspace() and bool(_ADDRESS.search(before.split()[-1]))
