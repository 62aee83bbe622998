"""What a page of a PDF draws: text, pictures, shapes, also those inside forms that are drawn on it."""

import ctypes
from collections.abc import Iterator
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

TEXT, PATH, IMAGE, SHADING = (
    pdfium.FPDF_PAGEOBJ_TEXT,
    pdfium.FPDF_PAGEOBJ_PATH,
    pdfium.FPDF_PAGEOBJ_IMAGE,
    pdfium.FPDF_PAGEOBJ_SHADING,
)

Box = tuple[float, float, float, float]  # left, bottom, right, top, in points, as PDF counts them

_MOST_NESTED = 10  # forms within forms
_MOST_OBJECTS = 100_000  # of a page; forms that are drawn many times count as often

_Matrix = tuple[float, float, float, float, float, float]


class PageObject(NamedTuple):
    """`handle` is PDFium's, alive as long as the page. `box` is in points; `scale` that of the forms around it."""

    handle: Any
    kind: int
    box: Box
    scale: float
    in_form: bool


def page_objects(page: pypdfium2.PdfPage) -> list[PageObject]:
    """The objects of a page that are drawn, in the order in which they are drawn."""
    found: list[PageObject] = []
    top = (pdfium.FPDFPage_GetObject(page, index) for index in range(pdfium.FPDFPage_CountObjects(page)))
    for item in _walk(top, None, 0):
        found.append(item)
        if len(found) == _MOST_OBJECTS:
            break
    return found


def _walk(handles: Iterator[Any], matrix: _Matrix | None, depth: int) -> Iterator[PageObject]:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    for handle in handles:
        kind = pdfium.FPDFPageObj_GetType(handle)
        if kind == pdfium.FPDF_PAGEOBJ_FORM:
            if depth < _MOST_NESTED:
                inside = (
                    pdfium.FPDFFormObj_GetObject(handle, index)
                    for index in range(pdfium.FPDFFormObj_CountObjects(handle))
                )
                yield from _walk(inside, _multiplied(_matrix(handle), matrix), depth + 1)
            continue
        pdfium.FPDFPageObj_GetBounds(handle, left, bottom, right, top)
        box = left.value, bottom.value, right.value, top.value
        if matrix is None:
            yield PageObject(handle, kind, box, 1.0, False)
        else:
            scale = (matrix[2] ** 2 + matrix[3] ** 2) ** 0.5
            yield PageObject(handle, kind, _transformed(box, matrix), scale, True)


def height_of_text(item: PageObject) -> float:
    """The size of the font of a text as it is drawn, in points."""
    size = ctypes.c_float()
    pdfium.FPDFTextObj_GetFontSize(item.handle, size)
    matrix = _matrix(item.handle)
    return float(abs(size.value) * (matrix[2] ** 2 + matrix[3] ** 2) ** 0.5 * item.scale)


def _matrix(handle: Any) -> _Matrix:
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFPageObj_GetMatrix(handle, matrix)
    return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f


def _multiplied(inner: _Matrix, outer: _Matrix | None) -> _Matrix:
    if outer is None:
        return inner
    a, b, c, d, e, f = inner
    return (
        a * outer[0] + b * outer[2],
        a * outer[1] + b * outer[3],
        c * outer[0] + d * outer[2],
        c * outer[1] + d * outer[3],
        e * outer[0] + f * outer[2] + outer[4],
        e * outer[1] + f * outer[3] + outer[5],
    )


def _transformed(box: Box, matrix: _Matrix) -> Box:
    a, b, c, d, e, f = matrix
    corners = [(a * x + c * y + e, b * x + d * y + f) for x in (box[0], box[2]) for y in (box[1], box[3])]
    across, up = [x for x, _ in corners], [y for _, y in corners]
    return min(across), min(up), max(across), max(up)
