"""Words that a line end divides, put together again.

A hyphen at a line end may divide a word (posses-sion) or belong to it (self-evident). What the document writes
within its lines decides, or that the first half is a mere prefix (co-operation). Without such evidence the hyphen
stays and the line end goes: "tire-some" can still be read, "selfevident" is no word.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

# Lengths are bounded to take linear time on any input. Hyphens are few: to look for them first, and then for the word
# before them, is much faster than to look for words with a hyphen.
_DIVISION = re.compile(r"([-\u00ad])\n(\w{1,40})")
_HYPHEN = re.compile(r"-(\w{1,40})")
_WORD = re.compile(r"\w{1,80}")
_MAX_WORD = 40  # characters of half a word
_MIN_SHARED = 3  # letters after the hyphen that a word has, too, if it is another form of the one that is divided

# After one of these a hyphen stands for the rest of the next word: pre- and post-war, Straßen- und Wege.
_AND = frozenset(["and", "or", "und", "oder", "bis", "sowie", "et", "ou", "och", "eller", "og", "samt"])
# No words by themselves, so that a hyphen after one of them at a line end divides a word: co-operation, dis-appear.
_PREFIXES = frozenset(["co", "com", "con", "dis", "inter", "mis", "trans", "un"])
_ADDRESS = re.compile(r"://|www\.|@")
_MAX_ADDRESS = 200  # characters


def join_hyphenated(texts: Sequence[str]) -> list[str]:
    """`texts` of pages with the words together that line ends divide; both forms count on all the pages."""
    if not any(_DIVISION.search(text) for text in texts):
        return list(texts)
    written = _Written(texts)
    return [_DIVISION.sub(written.join, text) for text in texts]


class _Written:
    """What a document writes within its lines."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.words: Counter[str] = Counter()
        self.compounds: Counter[tuple[str, str]] = Counter()
        for text in map(str.lower, texts):
            self.words.update(_WORD.findall(text))
            for division in _DIVISION.finditer(text):
                self.words.subtract((_word_before(division), division[2]))
            self.compounds.update((_word_before(hyphen), hyphen[1]) for hyphen in _HYPHEN.finditer(text))
        self.in_order = sorted(word for word, count in self.words.items() if count > 0)

    def join(self, division: re.Match[str]) -> str:
        """What to put for the hyphen, the line end and the second half of a word."""
        hyphen, second = division.groups()
        first = _word_before(division)
        if not first:
            return division[0]
        halves = (first.lower(), second.lower())
        joined, compound = self.words["".join(halves)], self.compounds[halves]
        if joined > compound:
            return second
        if compound > 0:
            return f"-{second}"
        if hyphen == "\u00ad":
            return second
        if first.isdecimal() and second.isdecimal():
            return f"-{second}" if _is_range(division) else division[0]
        if _in_address(division):
            return f"-{second}"
        # A capital or a figure may be the beginning of something else than the rest of this word.
        if not (first[-1].isalpha() and (second[0].islower() or (first.isupper() and second.isupper()))):
            return division[0]
        if second in _AND and division.string[division.end() : division.end() + 1] == " ":
            return f"- {second}"
        return second if halves[0] in _PREFIXES or self._has_other_form(*halves) else f"-{second}"

    def _has_other_form(self, first: str, second: str) -> bool:
        if len(second) < _MIN_SHARED:
            return False
        beginning = first + second[:_MIN_SHARED]
        place = bisect_left(self.in_order, beginning)
        return place < len(self.in_order) and self.in_order[place].startswith(beginning)


def _word_before(match: re.Match[str]) -> str:
    start, end = match.start(), match.start()
    while start > max(0, end - _MAX_WORD) and (match.string[start - 1].isalnum() or match.string[start - 1] == "_"):
        start -= 1
    return match.string[start:end]


def _is_range(division: re.Match[str]) -> bool:
    """Whether two numbers are such as 2019-2020 in a sentence, and not amounts below each other in a column."""
    text, first, second = division.string, _word_before(division), division[2]
    start = division.start() - len(first)
    line = text[max(text.rfind("\n", 0, start) + 1, start - _MAX_ADDRESS) : start]
    return (
        len(first) == len(second)
        and first < second
        and any(character.isalpha() for character in line)
        and not line.endswith((".", ","))
        and not re.match(r"[.,]\d", text[division.end() : division.end() + 2])
    )


def _in_address(division: re.Match[str]) -> bool:
    before = division.string[max(0, division.start() - _MAX_ADDRESS) : division.start()]
    return bool(_ADDRESS.search(before[before.rfind(" ") + 1 :].rpartition("\n")[2]))
