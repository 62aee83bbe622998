"""XFA forms: XML inside a PDF, which a few viewers lay out. Others show a page that asks the reader to wait."""

import ctypes
from collections.abc import Iterator
from xml.etree import ElementTree

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.readers.pdf.annotations import annotations, one_line

_DATA = "{http://www.xfa.org/schema/xfa-data/1.0/}data"
_MOST_PAGES = 20  # that are searched for fields
_MOST_LINES = 10_000
_MOST_NESTED = 50


def xfa(document: pypdfium2.PdfDocument) -> tuple[str, tuple[str, ...]]:
    """Lines for what is filled in, and warnings, if the document has no form that PDF viewers show besides."""
    if pdfium.FPDF_GetFormType(document) not in (pdfium.FORMTYPE_XFA_FULL, pdfium.FORMTYPE_XFA_FOREGROUND):
        return "", ()
    if any(_has_fields(document, index) for index in range(min(len(document), _MOST_PAGES))):
        return "", ()
    lines, said = _read(document)
    return lines, (said,)


def _read(document: pypdfium2.PdfDocument) -> tuple[str, str]:
    packets = [
        _packet(document, index)
        for index in range(max(pdfium.FPDF_GetXFAPacketCount(document), 0))
        if _name(document, index) == "datasets"
    ]
    said = "an XFA form: its pages are laid out by few viewers, and only the values of its fields are read."
    try:
        # Entities are no part of XFA, and could unfold without end.
        roots = [ElementTree.fromstring(packet) for packet in packets if b"<!" not in packet]
    except ElementTree.ParseError as error:
        return "", f"an XFA form: its pages are laid out by few viewers, and its data is damaged ({error})."
    lines: list[str] = []
    for root in roots:
        for data in [root] if root.tag == _DATA else root.findall(_DATA):
            lines += _values(data, ())
    return "\n".join(lines[:_MOST_LINES]), said


def _values(element: ElementTree.Element, path: tuple[str, ...]) -> Iterator[str]:
    value = (element.text or "").strip()
    if value and path:
        yield f"[form: {' / '.join(path[-3:])} = {one_line(value)}]"
    if len(path) < _MOST_NESTED:
        for child in element:
            yield from _values(child, (*path, child.tag.rpartition("}")[2]))


def _has_fields(document: pypdfium2.PdfDocument, index: int) -> bool:
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return False
    try:
        return any(subtype == pdfium.FPDF_ANNOT_WIDGET for _, subtype, _ in annotations(page))
    finally:
        page.close()


def _name(document: pypdfium2.PdfDocument, index: int) -> str:
    length = pdfium.FPDF_GetXFAPacketName(document, index, None, 0)
    buffer = ctypes.create_string_buffer(max(length, 1))
    pdfium.FPDF_GetXFAPacketName(document, index, buffer, length)
    return buffer.value.decode("ascii", "replace")


def _packet(document: pypdfium2.PdfDocument, index: int) -> bytes:
    length = ctypes.c_ulong()
    pdfium.FPDF_GetXFAPacketContent(document, index, None, 0, length)
    buffer = ctypes.create_string_buffer(max(length.value, 1))
    pdfium.FPDF_GetXFAPacketContent(document, index, buffer, length.value, length)
    return buffer.raw[: length.value].strip(b"\0 \r\n")
