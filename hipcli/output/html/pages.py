"""The pages that references lead to, with their passages marked, and nothing of long pages that is far from one."""

from typing import Any

from hipcli.documents.document import Document
from hipcli.evidence.reference import Passage
from hipcli.output.places import name_of, page_name
from hipcli.output.printable import printable

_AROUND = 1500  # characters that are shown on either side of a passage
_LEAST_GAP = 3000  # that is left out


class Pages:
    """Collects passages, and gives each an anchor."""

    def __init__(self) -> None:
        self._documents: dict[int, Document] = {}
        self._spans: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(self, document: int, read: Document, passage: Passage) -> str:
        """The anchor of `passage` of the run's document number `document`, which is `read`."""
        self._documents[document] = read
        spans = self._spans.setdefault((document, passage.page), [])
        if (passage.start, passage.stop) not in spans:
            spans.append((passage.start, passage.stop))
        return _anchor(document, passage.page, passage.start, passage.stop)

    def id_of(self, document: int, page: int) -> str | None:
        """The anchor of a page, None where nothing has led to it."""
        return _page_id(document, page) if (document, page) in self._spans else None

    def shown(self) -> list[dict[str, Any]]:
        """The pages in order, each in pieces."""
        found = []
        for (document, page), spans in sorted(self._spans.items()):
            read = self._documents[document]
            name = printable(f"{name_of(read)}, {page_name(read, page)}")
            pieces = _pieces(read.pages[page].text, sorted(spans), document, page)
            found.append({"id": _page_id(document, page), "name": name, "pieces": pieces})
        return found


def _pieces(text: str, spans: list[tuple[int, int]], document: int, page: int) -> list[dict[str, Any]]:
    """The text about `spans`, marked; where they overlap the later ones begin where the earlier end."""
    pieces: list[dict[str, Any]] = []
    done = 0

    def add(piece: str, *, name: str | None = None, gap: bool = False) -> None:
        if piece or name:
            pieces.append({"text": printable(piece), "id": name, "gap": gap})

    for number, (start, stop) in enumerate(spans):
        after = done + _AROUND if number else 0
        if start - _AROUND - after >= _LEAST_GAP:
            add(text[done:after])
            add(f"{start - _AROUND - after:,} characters left out", gap=True)
            done = start - _AROUND
        add(text[done : max(start, done)])
        add(text[max(start, done) : stop], name=_anchor(document, page, start, stop))
        done = max(done, stop)
    if len(text) - done - _AROUND >= _LEAST_GAP:
        add(text[done : done + _AROUND])
        add(f"{len(text) - done - _AROUND:,} characters left out", gap=True)
    else:
        add(text[done:])
    return pieces


def _page_id(document: int, page: int) -> str:
    return f"d{document + 1}-p{page + 1}"


def _anchor(document: int, page: int, start: int, stop: int) -> str:
    return f"{_page_id(document, page)}-{start}-{stop}"
