"""Pages of text in passages: a sentence, or what comes closest to one in lists, tables and code."""

import re
from collections.abc import Iterator, Sequence

from hipcli.documents.document import Document
from hipcli.evidence.reference import Passage

_SHORTEST = 40  # characters: a shorter sentence is joined with its neighbour
_LONGEST = 500
# Behind the mark that ends a sentence and quotes that close, or where a paragraph ends.
_END = re.compile(r"""(?:[.!?…]["'”’»)\]]{0,3}(?=\s)|[。！？]["”’」』）]{0,3}|\n[ \t]*\n)\s*""")
# No ends of sentences: initials, numbers of a list, some words that are shortened.
_NO_END = re.compile(
    r"(?:\b[A-Z]|^\s*\d{1,3}|\b(?:Mr|Mrs|Ms|Dr|St|No|Nos|vs|Fig|cf|al|Sec|Art|Inc|Ltd|Co|e\.g|i\.e))\.$"
)
_TAIL = 12  # characters before an end that _NO_END looks at


def passages(documents: Sequence[Document]) -> list[Passage]:
    """All passages of all pages, in order: together they are the pages, but for white space around them."""
    found = []
    for document, read in enumerate(documents):
        for page, content in enumerate(read.pages):
            for start, stop in spans(content.text):
                found.append(Passage(document, page, start, stop, content.text[start:stop]))
    return found


def spans(text: str) -> Iterator[tuple[int, int]]:
    """[start, stop) of the passages of a text, without the white space around them."""
    start = 0
    for end in _ends(text):
        if end - start >= _SHORTEST or end == len(text):
            yield from _pieces(text, start, end)
            start = end


def _ends(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        before = text[max(0, match.start() - _TAIL) : match.start() + 1]
        if not _NO_END.search(before):
            yield match.end()
    yield len(text)


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A sentence in pieces that are not too long, cut at the last line end or space that there is."""
    while end - start > _LONGEST:
        limit = start + _LONGEST
        cut = max(text.rfind("\n", start + _SHORTEST, limit), text.rfind(" ", start + _LONGEST // 2, limit)) + 1
        cut = cut or limit
        yield from _stripped(text, start, cut)
        start = cut
    yield from _stripped(text, start, end)


def _stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    begin = start + len(piece) - len(piece.lstrip())
    stop = start + len(piece.rstrip())
    if begin < stop:
        yield begin, stop
