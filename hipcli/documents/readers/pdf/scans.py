"""Parts of a PDF page that are pictures of text: which they are, and how they are recognised."""

import ctypes
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.pdf.annotations import hide_all_but
from hipcli.documents.readers.pdf.page_objects import IMAGE, Box, PageObject
from hipcli.documents.readers.pictures import ocr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DOTS_PER_INCH = 300  # 200 takes as long, and runs small figures of notes into words
_LEAST_SIDE = 1600  # pixels of the longer side: some pages of scans are the size of a stamp
_BIG = 0.2  # of the page
_STAMP = 200  # characters over a picture; a page number, a stamp or "Downloaded from ..." has fewer
_MOST_PICTURES = 2000  # of a page, that are looked at
_TOUCHING = 2.0  # points; scans come in strips
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Recognition:
    """The whole text of the pages, by number, on which some was recognised, and what a reader should know of it."""

    texts: dict[int, str]
    warnings: tuple[str, ...] = ()


def recognise_pages(
    document: pypdfium2.PdfDocument,
    texts: Mapping[int, str],
    parts: Mapping[int, Sequence[Box] | None],
    stamps: Mapping[int, Collection[int]] | None = None,
) -> Recognition:
    """Recognise these parts of pages, by number; None is all of a page. `texts` are what was read from them.

    `stamps` are the indices of annotations that are pictures; others, and form fields, are read and not recognised.
    They are hidden in `document` from then on. Where nothing is found a page keeps its text.
    """
    found: dict[int, ocr.Recognised] = {}
    whole: dict[int, str] = {}
    pictures, failed = [], []
    for number, boxes in parts.items():
        try:
            with _page(document, number) as page:
                hide_all_but(page, (stamps or {}).get(number, ()))
                if boxes is None and not pdfium.FPDFPage_CountObjects(page):
                    continue
                if not ocr.available():
                    pictures.append(number)
                    continue
                recognised = [_recognise(page, box) for box in (boxes or (None,))]
        except pypdfium2.PdfiumError:
            failed.append(number)
            continue
        found[number] = ocr.joined(recognised)
        if found[number].text:
            whole[number] = found[number].text if boxes is None else _together(texts[number], found[number].text)
    return Recognition(whole, (*_unrecognised(pictures, failed), *ocr.said(found)))


def unread_pictures(
    page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage, objects: Sequence[PageObject]
) -> list[Box]:
    """Where big pictures are that have hardly any text over them, such as a scan without the text recognised."""
    left, bottom, right, top = page.get_bbox()
    whole = max((right - left) * (top - bottom), 1.0)
    boxes: list[Box] = []
    for x1, y1, x2, y2 in islice((item.box for item in objects if item.kind == IMAGE), _MOST_PICTURES):
        boxes = _with(boxes, (max(x1, left), max(y1, bottom), min(x2, right), min(y2, top)))
    big = [box for box in boxes if _area(box) >= _BIG * whole]
    return [box for box in big if len(textpage.get_text_bounded(*box)) < _STAMP]


def _unrecognised(pictures: list[int], failed: list[int]) -> Iterator[str]:
    if pictures:
        pages = "page" if len(pictures) == 1 else "pages"
        yield f"text in pictures was not read on {pages} {format_page_ranges(pictures)}; {ocr.INSTALL} adds that."
    if failed:
        pages = "page" if len(failed) == 1 else "pages"
        yield f"{pages} {format_page_ranges(failed)} cannot be drawn, and no text was recognised there."


@contextmanager
def _page(document: pypdfium2.PdfDocument, number: int) -> Iterator[pypdfium2.PdfPage]:
    page = document[number - 1]
    try:
        yield page
    finally:
        page.close()


def _recognise(page: pypdfium2.PdfPage, box: Box | None) -> ocr.Recognised:
    """The text that a viewer shows in a part of the page, or on all of it. Raises PdfiumError if it cannot be drawn."""
    width, height = page.get_size()
    scale = max(_DOTS_PER_INCH / 72, _LEAST_SIDE / max(width, height, 1.0))
    scale = min(scale, (ocr.MOST_PIXELS / max(width * height, 1.0)) ** 0.5)
    bitmap = page.render(scale=scale, may_draw_forms=False)
    try:
        picture: NDArray[np.uint8] = bitmap.to_numpy()[:, :, :3]
        if box is not None:
            picture = picture[_rows_and_columns(page, box, bitmap.width, bitmap.height)]
        return ocr.recognise(picture.copy())
    finally:
        bitmap.close()


def _together(text: str, recognised: str) -> str:
    """`text`, which was read, and what was recognised on top of it: nothing twice, and nothing left out.

    Lines of `text` that were recognised word for word, too, go.
    """
    known = set(_WORD.findall(recognised))
    left = [line for line in text.split("\n") if not known.issuperset(_WORD.findall(line))]
    return "\n".join([*left, "", recognised] if left else [recognised])


def _with(boxes: list[Box], box: Box) -> list[Box]:
    """`boxes` and another, grown together with those that it touches."""
    if box[0] >= box[2] or box[1] >= box[3]:
        return boxes
    apart = []
    for other in boxes:
        if (
            max(box[0], other[0]) <= min(box[2], other[2]) + _TOUCHING
            and max(box[1], other[1]) <= min(box[3], other[3]) + _TOUCHING
        ):
            box = min(box[0], other[0]), min(box[1], other[1]), max(box[2], other[2]), max(box[3], other[3])
        else:
            apart.append(other)
    return [*apart, box]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _rows_and_columns(page: pypdfium2.PdfPage, box: Box, width: int, height: int) -> tuple[slice, slice]:
    """Where `box` is in the picture of the page, which may be turned."""
    x, y = ctypes.c_int(), ctypes.c_int()
    across, down = [], []
    for point in ((box[0], box[1]), (box[2], box[3])):
        pdfium.FPDF_PageToDevice(page, 0, 0, width, height, 0, *point, x, y)
        across.append(min(max(x.value, 0), width))
        down.append(min(max(y.value, 0), height))
    return slice(min(down), max(down) + 1), slice(min(across), max(across) + 1)
