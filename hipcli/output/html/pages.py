"""The pages that references lead to, with their passages marked, and nothing of long pages that is far from one."""

from heapq import heapify, heappop, heappush
from typing import Any

from hipcli.documents.document import Document
from hipcli.evidence.reference import Passage
from hipcli.output.messages import one_line
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
            found.append(
                {
                    "id": _page_id(document, page),
                    "name": one_line(name_of(read)),
                    "where": one_line(page_name(read, page)) if read.unit else None,
                    "pieces": _pieces(read.pages[page].text, sorted(spans), document, page),
                }
            )
        return found


def _pieces(text: str, spans: list[tuple[int, int]], document: int, page: int) -> list[dict[str, str]]:
    """The text about `spans` in pieces: texts, gaps, and where marks begin ("open", with an anchor) and end ("close").

    Marks lie within each other; of one that crosses the end of another, the rest is marked without an anchor.
    """
    left = [(start, -stop, _anchor(document, page, start, stop)) for start, stop in spans]
    heapify(left)
    pieces: list[dict[str, str]] = []
    stops: list[int] = []  # of the marks that are open
    done = 0

    def show(until: int, kind: str = "text") -> None:
        nonlocal done
        piece = text[done:until] if kind == "text" else f"{until - done:,} characters left out"
        if piece:
            pieces.append({"kind": kind, "text": printable(piece)})
        done = max(done, until)

    def close(until: int) -> None:
        while stops and stops[-1] <= until:
            show(stops.pop())
            pieces.append({"kind": "close"})

    while left:
        start, stop, anchor = heappop(left)
        stop = -stop
        close(start)
        if not stops:
            after = done + _AROUND if done else 0
            if start - _AROUND - after >= _LEAST_GAP:
                show(after)
                show(start - _AROUND, "gap")
        show(start)
        if stops and stop > stops[-1]:
            heappush(left, (stops[-1], -stop, ""))
            stop = stops[-1]
        pieces.append({"kind": "open", "id": anchor})
        stops.append(stop)
    close(len(text))
    if len(text) - done - _AROUND >= _LEAST_GAP:
        show(done + _AROUND)
        show(len(text), "gap")
    show(len(text))
    return pieces


def _page_id(document: int, page: int) -> str:
    return f"d{document + 1}-p{page + 1}"


def _anchor(document: int, page: int, start: int, stop: int) -> str:
    return f"{_page_id(document, page)}-{start}-{stop}"
