"""Annotations of a page of a PDF: notes, form fields and whatever else lies over what the page draws."""

import ctypes
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.readers.pdf.page_objects import Box

_UNSEEN = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
MOST = 20_000  # of a page
_SHOWS_TEXT = re.compile(r"T[jJ]|Do\b|['\"]\s")  # operators that draw text, or what may hold it


class Drawn(NamedTuple):
    """An annotation in `box` whose text only its appearance has; `what` it is, and a comment that it has besides.

    `number` is its index among the annotations of the page.
    """

    number: int
    what: str
    box: Box
    comment: str = ""


@contextmanager
def annotation(page: pypdfium2.PdfPage, index: int) -> Iterator[Any]:
    """PDFium's handle of the annotation with this index, None where there is none."""
    handle = pdfium.FPDFPage_GetAnnot(page, index)
    try:
        yield handle
    finally:
        if handle:
            pdfium.FPDFPage_CloseAnnot(handle)


def annotations(page: pypdfium2.PdfPage) -> Iterator[tuple[int, int, Any]]:
    """The index, subtype and handle of each annotation; the handle lives until the next one is asked for."""
    for index in range(min(pdfium.FPDFPage_GetAnnotCount(page), MOST)):
        with annotation(page, index) as handle:
            if handle:
                yield index, pdfium.FPDFAnnot_GetSubtype(handle), handle


def beyond_most(page: pypdfium2.PdfPage) -> int:
    """How many annotations of the page `annotations` does not give: a page may have any number."""
    return max(0, int(pdfium.FPDFPage_GetAnnotCount(page)) - MOST)


def is_flagged_unseen(handle: Any) -> bool:
    """Whether the annotation says of itself that a viewer is not to show it."""
    return bool(pdfium.FPDFAnnot_GetFlags(handle) & _UNSEEN)


def is_on_layer(handle: Any) -> bool:
    """Whether the annotation belongs to a layer, which may be off."""
    return bool(pdfium.FPDFAnnot_HasKey(handle, b"OC"))


def show(page: pypdfium2.PdfPage, index: int) -> None:
    """Draw the annotation with this index from here on, whatever its flags say; its layer does not count then."""
    with annotation(page, index) as handle:
        pdfium.FPDFAnnot_SetFlags(handle, pdfium.FPDFAnnot_GetFlags(handle) & ~_UNSEEN)


def hide_all_but(page: pypdfium2.PdfPage, kept: Collection[int]) -> None:
    """Draw the page without its annotations from here on, but for those with the indices `kept` and handwriting."""
    for index, subtype, handle in annotations(page):
        if index not in kept and subtype != pdfium.FPDF_ANNOT_INK:
            flags = pdfium.FPDFAnnot_GetFlags(handle)
            pdfium.FPDFAnnot_SetFlags(handle, flags | pdfium.FPDF_ANNOT_FLAG_HIDDEN)


def box_of(handle: Any) -> Box:
    """Where the annotation is, in points."""
    rectangle = pdfium.FS_RECTF()
    pdfium.FPDFAnnot_GetRect(handle, rectangle)
    across, up = sorted((rectangle.left, rectangle.right)), sorted((rectangle.bottom, rectangle.top))
    return across[0], up[0], across[1], up[1]


def string_of(handle: Any, key: str) -> str:
    """The string that the annotation has under `key`, with "\\n" at line ends, "" if there is none."""
    return utf16(partial(pdfium.FPDFAnnot_GetStringValue, handle, key.encode()))


def draws_text(handle: Any) -> bool:
    """Whether the annotation may have text in its appearance."""
    normal = pdfium.FPDF_ANNOT_APPEARANCEMODE_NORMAL
    appearance = utf16(lambda buffer, length: pdfium.FPDFAnnot_GetAP(handle, normal, buffer, length))
    return _SHOWS_TEXT.search(appearance) is not None


def comment_of(handle: Any) -> str:
    """What the annotation says, in one line; "" if it says nothing."""
    content = one_line(string_of(handle, "Contents"))
    formatted = "" if content else string_of(handle, "RC")
    return _plain(formatted) if formatted else content


def holds(printed: str, value: str) -> bool:
    """Whether `value` is among the words of `printed`: "No" is not among those of "Notes"."""
    return re.search(rf"(?<!\S){re.escape(one_line(value))}(?!\S)", one_line(printed)) is not None


def utf16(get: Callable[[Any, int], int]) -> str:
    """A string from a function of PDFium that fills a buffer with UTF-16, and gives the length in bytes."""
    length = get(None, 0)
    if length <= 2:
        return ""
    buffer = (ctypes.c_ushort * (length // 2))()
    get(buffer, length)
    text = bytes(buffer)[: length - 2].decode("utf-16-le", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip()


def one_line(text: str) -> str:
    """`text` without its line ends."""
    return " ".join(text.split())


def _plain(formatted: str) -> str:
    """The text of XHTML."""
    from selectolax.lexbor import LexborHTMLParser

    apart = formatted.replace("</p>", " </p>").replace("<br", " <br")
    body = LexborHTMLParser(apart).body
    return one_line(body.text()) if body else ""
