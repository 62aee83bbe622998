"""Pages in Chinese, Japanese or Korean fonts that neither the file nor the system has.

PDFium gives no text for these. pdfminer.six does: it has the tables that lead from their codes to characters.
"""

import io
import re
from collections.abc import Iterator, Sequence

from pdfminer.high_level import extract_pages
from pdfminer.layout import LAParams, LTComponent, LTContainer, LTTextLine, LTTextLineVertical

from hipcli.documents.readers.pdf.library_log import collected
from hipcli.documents.readers.pdf.vertical import EAST_ASIAN, Column, in_order

# pdfminer.six makes a space of every gap.
_SPACED = re.compile(rf"(?<={EAST_ASIAN}) (?={EAST_ASIAN})")


def texts(data: bytes, password: str | None, indices: Sequence[int], messages: list[str]) -> Iterator[str]:
    """The raw texts of the pages with these indices, from 0, in their order.

    What pdfminer.six logs about the file is added to `messages`. On damaged files it raises anything.
    """
    layout = LAParams(detect_vertical=True)
    with collected("pdfminer", messages):
        for page in extract_pages(io.BytesIO(data), password or "", sorted(indices), laparams=layout):
            yield "\n".join(in_order(_from_the_top(list(_lines(page)))))


def _from_the_top(lines: list[tuple[float, str | Column]]) -> list[str | Column]:
    """A page with columns from its top to its foot; others have the order that pdfminer.six finds."""
    if any(isinstance(line, Column) for _, line in lines):
        lines.sort(key=lambda placed: -placed[0])
    return [line for _, line in lines]


def _lines(container: LTComponent) -> Iterator[tuple[float, str | Column]]:
    """Lines, each with the height of its top."""
    if isinstance(container, LTTextLine):
        text = _SPACED.sub("", "".join(container.get_text().split("\n")))
        if isinstance(container, LTTextLineVertical):
            middle, width = (container.x0 + container.x1) / 2, container.x1 - container.x0
            yield container.y1, Column(text, middle, width, container.y0, container.y1)
        else:
            yield container.y1, text
    elif isinstance(container, LTContainer):
        for item in container:
            yield from _lines(item)
