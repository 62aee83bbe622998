"""Files inside a PDF: attached to the document, or to a place on a page."""

import ctypes
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.document import Member
from hipcli.documents.readers.annotations import annotation, annotations, utf16
from hipcli.errors import HipError

_MOST = 10_000


def members(
    document: pypdfium2.PdfDocument, on_pages: Sequence[tuple[int, int]], data: bytes, password: str | None
) -> tuple[Member, ...]:
    """The files of the document, and those on its pages: `on_pages` has indices of pages and of their annotations.

    They are read from `data` when they are wanted.
    """
    found: list[Member] = []
    for index in range(min(pdfium.FPDFDoc_GetAttachmentCount(document), _MOST)):
        name = _name(pdfium.FPDFDoc_GetAttachment(document, index), len(found))
        found.append(Member(name, partial(_read, data, password, name, (None, index))))
    for place in on_pages:
        page = document[place[0]]
        with annotation(page, place[1]) as handle:
            name = _name(pdfium.FPDFAnnot_GetFileAttachment(handle), len(found))
        page.close()
        found.append(Member(name, partial(_read, data, password, name, place)))
    return tuple(_told_apart(found))


def attached(page: pypdfium2.PdfPage) -> tuple[int, ...]:
    """The indices of the annotations of a page that are files."""
    return tuple(index for index, subtype, _ in annotations(page) if subtype == pdfium.FPDF_ANNOT_FILEATTACHMENT)


def _read(data: bytes, password: str | None, name: str, place: tuple[int | None, int]) -> bytes:
    from hipcli.documents.readers.pdfium import open_document

    with open_document(data, password) as document:
        if place[0] is None:
            return _bytes(pdfium.FPDFDoc_GetAttachment(document, place[1]), name)
        page = document[place[0]]
        with annotation(page, place[1]) as handle:
            content = _bytes(pdfium.FPDFAnnot_GetFileAttachment(handle), name)
        page.close()
        return content


def _bytes(attachment: Any, name: str) -> bytes:
    length = ctypes.c_ulong()
    if attachment and pdfium.FPDFAttachment_GetFile(attachment, None, 0, length):
        buffer = ctypes.create_string_buffer(max(length.value, 1))
        if pdfium.FPDFAttachment_GetFile(attachment, buffer, length.value, length):
            return buffer.raw[: length.value]
    raise HipError(f"{name}: the attached file cannot be taken out of the PDF", "open it in a viewer and save it")


def _name(attachment: Any, index: int) -> str:
    """What the file is called, without folders."""
    name = utf16(lambda buffer, length: pdfium.FPDFAttachment_GetName(attachment, buffer, length)) if attachment else ""
    return name.replace("\\", "/").rpartition("/")[2] or f"attachment {index + 1}"


def _told_apart(found: Sequence[Member]) -> Iterator[Member]:
    names: set[str] = set()
    for index, member in enumerate(found, 1):
        name = member.name if member.name not in names else f"{index} {member.name}"
        names.add(name)
        yield Member(name, member.read)
