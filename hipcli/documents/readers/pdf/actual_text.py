"""Replacement text: what a PDF says stands for the glyphs of a span (/ActualText).

PDFium believes it. For right-to-left text some programs write it in the wrong order, or shifted by a letter.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

import pypdfium2
import pypdfium2.raw as pdfium

if TYPE_CHECKING:
    from pypdf import PdfWriter
    from pypdf.generic import DictionaryObject, PdfObject

_KEY = "/ActualText"


def has_actual_text(page: pypdfium2.PdfPage) -> bool:
    """Whether any text of the page has replacement text."""
    for text in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_TEXT]):
        for index in range(pdfium.FPDFPageObj_CountMarks(text.raw)):
            mark = pdfium.FPDFPageObj_GetMark(text.raw, index)
            if pdfium.FPDFPageObjMark_GetParamValueType(mark, b"ActualText") != pdfium.FPDF_OBJECT_UNKNOWN:
                return True
    return False


def without_actual_text(data: bytes, password: str | None, indices: Sequence[int]) -> bytes:
    """A PDF of the pages of `data` with these `indices` (from 0), without replacement text, to be read again.

    On damaged files pypdf raises anything, from KeyError to RecursionError.
    """
    import pypdf
    from pypdf.generic import DictionaryObject, StreamObject

    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(password or ""):
        reader.decrypt("")
    writer = pypdf.PdfWriter()
    for index in indices:
        writer.add_page(reader.pages[index])
    for item in _objects(writer):
        if isinstance(item, StreamObject) and str(item.get("/Subtype", "/Form")) == "/Form":
            content = item.get_data()
            if _KEY.encode() in content:
                item.set_data(content.replace(_KEY.encode(), b"/Actual"))
        if isinstance(item, DictionaryObject):
            for properties in _property_lists(item):
                properties.pop(_KEY, None)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _objects(writer: "PdfWriter") -> Iterator["PdfObject | None"]:
    for number in count(1):
        try:
            yield writer.get_object(number)
        except IndexError:  # that was the last one
            return


def _property_lists(item: "DictionaryObject") -> Iterator["DictionaryObject"]:
    """The lists of a page or form that its marks refer to by name."""
    from pypdf.generic import DictionaryObject

    resources = item.get("/Resources")
    named = resources.get_object().get("/Properties") if resources is not None else None
    for properties in named.get_object().values() if named is not None else ():
        if isinstance(properties.get_object(), DictionaryObject):
            yield properties.get_object()
