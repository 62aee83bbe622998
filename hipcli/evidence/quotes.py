"""What an answer quotes, and the pages that it names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hipcli.documents.marks import UNITS

_LONGEST = 2000  # characters of a quote
_NEAR = 80  # characters behind a quote, in which a page is named for it
_PAIRS = (("“", "”"), ("«", "»"), ("„", "“"), ("„", "”"), ("「", "」"), ("『", "』"), ("‹", "›"))
_STRAIGHT = re.compile(rf'(?<![\w"])"(?=[^\s"])([^"\n]{{1,{_LONGEST}}}(?:\n(?!\s*\n)[^"\n]+){{0,20}})"(?!\w)')
_BLOCK = re.compile(r"(?m)^> ?.+(?:\n> ?.*)*(?=\n)")
_PAGE = re.compile(
    rf"(?i)(?<!\w)(?:(?P<unit>{'|'.join(UNITS)}|pages|p\.|pp\.|S\.)\s*(?P<number>\d{{1,6}}|[ivxlc]{{1,8}}(?![a-z])))"
    r"(?:\s*[-\u2013]\s*\d{1,6})?"
)
_SENTENCE_END = re.compile(r"(?<!\bp)(?<!\bpp)(?<!\bS)[.!?][\"'”’)\]]*\s+|\n")


@dataclass(frozen=True)
class Quote:
    """Words that an answer takes from a document: `text`, in its characters [start, stop) with their marks.

    `cited` is the page that it names for them. `in_marks`: they stand in quotation marks or as a block; else they are a
    sentence of the answer that a page is named for.
    """

    text: str
    start: int
    stop: int
    cited: str | None
    in_marks: bool = True


def quotes(answer: str) -> list[Quote]:
    """The quotes of an answer, in order, and then its sentences that name a page for something that is no quote."""
    marked = sorted(_marked(answer), key=lambda found: found[0])
    kept: list[tuple[int, int, str]] = []
    for start, stop, text in marked:
        if not kept or start >= kept[-1][1]:  # a quote in a quote is a part of it
            kept.append((start, stop, text))
    named = list(_PAGE.finditer(answer))
    taken: set[int] = set()
    found = []
    for index, (start, stop, text) in enumerate(kept):
        end = min(stop + _NEAR, kept[index + 1][0] if index + 1 < len(kept) else len(answer))
        near = next((page for page in named if stop <= page.start() < end), None)
        if near is not None and _SENTENCE_END.search(answer[stop : near.start()].strip()):
            near = None
        if near is None:
            begin = max(start - _NEAR, kept[index - 1][1] if index else 0)
            before = (page for page in reversed(named) if begin <= page.start() < start and page.start() not in taken)
            near = next(before, None)
            if near is not None and _SENTENCE_END.search(answer[near.end() : start].strip()):
                near = None
        if near is not None:
            taken.add(near.start())
        found.append(Quote(text, start, stop, near[0] if near else None))
    inside = [(quote.start, quote.stop) for quote in found]
    for page in named:
        if page.start() in taken or any(start <= page.start() < stop for start, stop in inside):
            continue
        start = max((end.end() for end in _SENTENCE_END.finditer(answer, 0, page.start())), default=0)
        after = _SENTENCE_END.search(answer, page.end())
        stop = after.start() + 1 if after else len(answer)
        text = _without_page(answer[start:stop])
        if not re.search(r"\w", text):  # a page behind the end of the sentence that it is named for
            stop, ends = start, [end.end() for end in _SENTENCE_END.finditer(answer, 0, start)]
            start = ends[-2] if len(ends) > 1 else 0
            text = answer[start:stop].strip()
        if text:
            found.append(Quote(text, start, stop, page[0], in_marks=False))
    return found


def page_number(cited: str) -> str:
    """The number or label in the name of a page: "12" in "(page 12)"."""
    match = _PAGE.search(cited)
    return match["number"] if match else ""


def _marked(answer: str) -> Iterator[tuple[int, int, str]]:
    for match in _STRAIGHT.finditer(answer):
        yield match.start(), match.end(), match[1]
    for left, right in _PAIRS:
        at = answer.find(left)
        while at >= 0:
            end = answer.find(right, at + 1, at + _LONGEST)
            if end < 0:
                at = answer.find(left, at + 1)
                continue
            yield at, end + 1, answer[at + 1 : end]
            at = answer.find(left, end + 1)
    for match in _BLOCK.finditer(answer + "\n"):
        yield match.start(), match.end(), re.sub(r"(?m)^> ?", "", match[0])


def _without_page(sentence: str) -> str:
    """A sentence without the page that it names and the brackets around it."""
    return re.sub(r"\s*[(\[]?\s*" + _PAGE.pattern[4:] + r"\s*[)\]]?", "", sentence, flags=re.IGNORECASE).strip()
