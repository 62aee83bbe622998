"""The pieces that a PDF page draws its text in, straight from PDFium: pypdfium2's own objects take much longer."""

from collections.abc import Iterator
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

_DEEPEST = 4  # forms in forms


def text_objects(page: pypdfium2.PdfPage, most: int) -> Iterator[Any]:
    """Handles of the page's text objects, those in forms, too, among its first `most` objects."""
    left = [most]
    for index in range(pdfium.FPDFPage_CountObjects(page)):
        yield from _texts(pdfium.FPDFPage_GetObject(page, index), left, 0)
        if left[0] <= 0:
            return


def _texts(item: Any, left: list[int], depth: int) -> Iterator[Any]:
    left[0] -= 1
    kind = pdfium.FPDFPageObj_GetType(item)
    if kind == pdfium.FPDF_PAGEOBJ_TEXT:
        yield item
    elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
        for index in range(max(0, pdfium.FPDFFormObj_CountObjects(item))):
            if left[0] <= 0:
                return
            yield from _texts(pdfium.FPDFFormObj_GetObject(item, index), left, depth + 1)
