"""Looks quotes up in documents: as they are but for typesetting, else what is most like them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from itertools import islice

from hipcli.documents.document import Document
from hipcli.evidence.normal import Normal
from hipcli.evidence.reference import Passage

LEAST_WORDS = 3  # of a quote that proves something wherever it stands
LEAST_CHARACTERS = 12
_LEAST_WIDE = 6  # in scripts without spaces
_ENDS = " .,;:!?\u2026()[]"
_WORD = re.compile(r"\w+")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ELLIPSIS = re.compile(r"\s*(?:\[?\s*(?:\.\s?){3}\]?|\[?\u2026\]?)\s*")
_SEEDS = 16  # rare words of a quote, whose places say where it may be
_PLACES = 200  # of a word that are looked at
_WINDOWS = 8  # that are compared, those with the most of these words
_GAP = 2000  # characters that an ellipsis may stand for
_MOST_FOUND = 200  # places of a quote
_MOST_TRIED = 2000  # places of its first part
_LEAST_ALIKE = 0.4  # a score below is none
_MOST_WORDS = 100  # of a quote that are compared


class Lookup:
    """The pages of `documents`, to look quotes up in.

    A page's text is joined with the next one's, so that a quote may run over the end of a page; its passage is then
    what stands on the page where it begins.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self._texts = [_Text(number, document) for number, document in enumerate(documents)]

    def exact(self, quote: str, pages: Sequence[tuple[int, int]] = ()) -> Passage | None:
        """The passage that is `quote` but for typesetting, on one of `pages` (document, page) if it stands there, too.

        Parts of it that an ellipsis separates have to follow one another in one document.
        """
        parts = [form for part in _ELLIPSIS.split(quote) if len(form := _form(part)) > 1]
        every = (passage for text in self._texts for passage in text.exact(parts)) if parts else ()
        found = list(islice(every, _MOST_FOUND))
        on_page = (passage for passage in found if (passage.document, passage.page) in pages)
        return next(on_page, found[0] if found else None)

    def alike(self, quote: str, pages: Sequence[tuple[int, int]] = ()) -> tuple[Passage | None, float]:
        """The passage most like `quote`, among those on `pages` if any are given, and how alike: 0 to 1."""
        words = [word.lower() for word in _WORD.findall(_form(quote))][:_MOST_WORDS]
        best: tuple[float, Passage | None] = (0.0, None)
        for text in self._texts:
            for score, passage in text.alike(words):
                if score > best[0] and (not pages or (passage.document, passage.page) in pages):
                    best = score, passage
        return (best[1], round(best[0], 3)) if best[0] >= _LEAST_ALIKE else (None, 0.0)


def is_evidence(quote: str) -> bool:
    """Whether a quote is long enough to prove something wherever it stands."""
    form = _form(quote)
    wide = len(_WIDE.findall(form)) >= _LEAST_WIDE
    return wide or (len(_WORD.findall(form)) >= LEAST_WORDS and len(form) >= LEAST_CHARACTERS)


def _form(quote: str) -> str:
    return Normal(quote).form.strip(_ENDS)


class _Text:
    """The text of one document."""

    def __init__(self, number: int, document: Document) -> None:
        self._number = number
        self._document = document

    @cached_property
    def _whole(self) -> str:
        return "\n".join(page.text for page in self._document.pages)

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [], 0
        for page in self._document.pages:
            starts.append(at)
            at += len(page.text) + 1
        return starts

    @cached_property
    def _normal(self) -> Normal:
        return Normal(self._whole)

    @cached_property
    def _words(self) -> list[tuple[str, int, int]]:
        return [(match[0].lower(), match.start(), match.end()) for match in _WORD.finditer(self._normal.form)]

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for index, (word, _, _) in enumerate(self._words):
            places.setdefault(word, []).append(index)
        return places

    def exact(self, parts: Sequence[str]) -> Iterator[Passage]:
        form = self._normal.form
        start = -1
        for _ in range(_MOST_TRIED):
            start = _find(form, parts[0], start + 1)
            if start < 0:
                return
            end = start + len(parts[0])
            for part in parts[1:]:
                at = _find(form, part, end, end + _GAP + len(part))
                if at < 0:
                    break
                end = at + len(part)
            else:
                yield self._passage(start, end)

    def alike(self, words: Sequence[str]) -> Iterator[tuple[float, Passage]]:
        known = sorted({word for word in words if word in self._places}, key=lambda word: len(self._places[word]))
        size = max(4, len(words) // 2)
        votes: Counter[int] = Counter()
        for word in known[:_SEEDS]:
            offset = words.index(word)
            votes.update({max(0, place - offset) // size for place in self._places[word][:_PLACES]})
        for window, _ in votes.most_common(_WINDOWS):
            first = window * size
            yield self._compared(words, max(0, first - size), first + 2 * size + 2 * len(words))

    def _compared(self, words: Sequence[str], first: int, last: int) -> tuple[float, Passage]:
        """How alike the best part of words [first, last) is."""
        there = [word for word, _, _ in self._words[first:last]]
        blocks = [
            block for block in SequenceMatcher(None, words, there, autojunk=False).get_matching_blocks() if block.size
        ]
        begin, end = first + blocks[0].b, first + blocks[-1].b + blocks[-1].size
        same = sum(block.size for block in blocks)
        score = same / max(len(words), end - begin)
        return score, self._passage(self._words[begin][1], self._words[end - 1][2])

    def _passage(self, start: int, end: int) -> Passage:
        begin, stop = self._normal.start(start), self._normal.stop(end)
        page = next(index for index in reversed(range(len(self._starts))) if self._starts[index] <= begin)
        base = self._starts[page]
        text = self._document.pages[page].text
        stop = min(stop - base, len(text))
        return Passage(self._number, page, begin - base, stop, text[begin - base : stop])


def _find(form: str, part: str, start: int, stop: int | None = None) -> int:
    """Where `part` stands as whole words in [start, stop) of `form`; its first letter may be a capital or not."""
    first, rest = part[0].lower(), part[1:]
    while (place := form.find(rest, start + 1, stop) - 1) >= start:
        end = place + len(part)
        before = place and part[0].isalnum() and form[place - 1].isalnum() and not _WIDE.match(part[0])
        after = end < len(form) and part[-1].isalnum() and form[end].isalnum() and not _WIDE.match(part[-1])
        if form[place].lower() == first and not before and not after:
            return place
        start = place + 1
    return -1
