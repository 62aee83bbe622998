"""XFA forms: XML inside a PDF, which a few viewers lay out. Others show a page that asks the reader to wait."""

import ctypes
from collections.abc import Iterator
from itertools import islice
from typing import NoReturn
from xml.etree import ElementTree

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.readers.pdf.annotations import annotations, one_line

_DATA = "{http://www.xfa.org/schema/xfa-data/1.0/}data"
_MOST_PAGES = 20  # that are searched for fields
_MOST_LINES = 10_000
_HTML = "{http://www.w3.org/1999/xhtml}"
_FORM = "an XFA form: its pages are laid out by few viewers, and "


class _Builder(ElementTree.TreeBuilder):
    """Refuses entities, which are no part of XFA and could unfold without end."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        raise ElementTree.ParseError("it declares a document type")


def xfa(document: pypdfium2.PdfDocument) -> tuple[str, tuple[str, ...]]:
    """Lines for what is filled in, and warnings, if the document has no form that PDF viewers show besides."""
    if pdfium.FPDF_GetFormType(document) not in (pdfium.FORMTYPE_XFA_FULL, pdfium.FORMTYPE_XFA_FOREGROUND):
        return "", ()
    if any(_has_fields(document, index) for index in range(min(len(document), _MOST_PAGES))):
        return "", ()
    lines, said = _read(document)
    return "\n".join(lines), (said,)


def _read(document: pypdfium2.PdfDocument) -> tuple[list[str], str]:
    # A form that is one stream has one packet, without a name.
    packets = [
        _packet(document, index)
        for index in range(max(pdfium.FPDF_GetXFAPacketCount(document), 0))
        if _name(document, index) in ("datasets", "")
    ]
    found: list[str] = []
    try:
        for packet in packets:
            root = ElementTree.fromstring(packet, ElementTree.XMLParser(target=_Builder()))
            data = [root] if root.tag == _DATA else [*root.findall(_DATA), *root.findall(f"*/{_DATA}")]
            for element in data:
                found += islice(_values(element), _MOST_LINES + 1 - len(found))
    except ElementTree.ParseError as error:
        return found[:_MOST_LINES], f"{_FORM}its data is damaged ({error})."
    if not found:
        return [], f"{_FORM}no values of fields were found in it."
    if len(found) > _MOST_LINES:
        return found[:_MOST_LINES], f"{_FORM}only the values of its first {_MOST_LINES} fields are read."
    return found, f"{_FORM}only the values of its fields are read."


def _values(data: ElementTree.Element) -> Iterator[str]:
    waiting: list[tuple[ElementTree.Element, tuple[str, ...]]] = [(child, ()) for child in reversed(data)]
    while waiting:
        element, above = waiting.pop()
        path = (*above, element.tag.rpartition("}")[2])[-3:]
        if any(child.tag.startswith(_HTML) for child in element):  # formatted text is one value
            value = one_line(" ".join(element.itertext()))
        else:
            value = one_line(element.text or "")
            waiting += [(child, path) for child in reversed(element)]
        if value:
            yield f"[form: {' / '.join(path)} = {value}]"


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
    return buffer.raw[: length.value].lstrip(b" \r\n")
