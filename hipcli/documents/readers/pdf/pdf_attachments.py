"""Files inside a PDF: attached to the document, or to a place on a page."""

import ctypes
import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.document import Member
from hipcli.documents.readers.archives.member_names import MemberNames
from hipcli.documents.readers.pdf.annotations import annotation, annotations, one_line, string_of, utf16
from hipcli.errors import HipError, first_line

_MOST = 10_000
_KEPT = ("/F", "/UF", "/DOS", "/Mac", "/Unix")


def members(
    document: pypdfium2.PdfDocument, on_pages: Sequence[tuple[int, int]], data: bytes, password: str | None
) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """The files of the document, and those on its pages, and a warning where there are too many to read.

    `on_pages` has indices of pages and of their annotations. The files are read from `data` when they are wanted.
    """
    names = MemberNames()
    found: list[Member] = []
    count = pdfium.FPDFDoc_GetAttachmentCount(document)
    for index in range(min(count, _MOST)):
        name = _name(pdfium.FPDFDoc_GetAttachment(document, index)) or f"attachment {index + 1}"
        found.append(Member(names.unique(name), partial(_read, data, password, name, (None, index))))
    for place in on_pages:
        page = document[place[0]]
        with annotation(page, place[1]) as handle:
            name = _name(pdfium.FPDFAnnot_GetFileAttachment(handle)) or string_of(handle, "Contents")
        page.close()
        found.append(Member(names.unique(one_line(name)), partial(_read, data, password, name, place)))
    if count <= _MOST:
        return tuple(found), ()
    return tuple(found), (f"{count:,} files are attached to it, of which the first {_MOST:,} were read.",)


def attached(page: pypdfium2.PdfPage) -> tuple[int, ...]:
    """The indices of the annotations of a page that are files."""
    return tuple(index for index, subtype, _ in annotations(page) if subtype == pdfium.FPDF_ANNOT_FILEATTACHMENT)


def _read(data: bytes, password: str | None, name: str, place: tuple[int | None, int]) -> bytes:
    from hipcli.documents.readers.pdf.pdfium import open_document

    with open_document(data, password) as document:
        count = pdfium.FPDFDoc_GetAttachmentCount(document)
        if place[0] is None:
            content = _bytes(pdfium.FPDFDoc_GetAttachment(document, place[1]))
        else:
            page = document[place[0]]
            with annotation(page, place[1]) as handle:
                content = _bytes(pdfium.FPDFAnnot_GetFileAttachment(handle))
            page.close()
    return _read_with_pypdf(data, password, name, place, count) if content is None else content


def _bytes(attachment: Any) -> bytes | None:
    length = ctypes.c_ulong()
    if not attachment or not pdfium.FPDFAttachment_GetFile(attachment, None, 0, length):
        return None
    buffer = ctypes.create_string_buffer(max(length.value, 1))
    found = pdfium.FPDFAttachment_GetFile(attachment, buffer, length.value, length)
    return buffer.raw[: length.value] if found else None


def _read_with_pypdf(data: bytes, password: str | None, name: str, place: tuple[int | None, int], count: int) -> bytes:
    """The file at `place`, of `count` in the document. PDFium misses those named in one way and kept in another."""
    import pypdf

    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(password or ""):
            reader.decrypt("")
        specification: Any
        if place[0] is None:
            files = list(reader.attachment_list)
            if len(files) != count:  # then the same number may be another file's
                raise LookupError(f"it is one of {count}, of which {len(files)} are found")
            specification = files[place[1]].pdf_object
        else:
            page: Any = reader.pages[place[0]]
            specification = page["/Annots"][place[1]]["/FS"]
        kept = specification["/EF"]
        return bytes(next(kept[key] for key in _KEPT if key in kept).get_data())
    except Exception as error:  # on damaged files pypdf raises anything, from KeyError to RecursionError
        raise HipError(
            f"{one_line(name)}: the attached file cannot be taken out of the PDF ({first_line(error)})",
            "open the PDF in a viewer and save the file from there",
        ) from error


def _name(attachment: Any) -> str:
    """What the file is called, without folders, "" if that is not known."""
    name = utf16(partial(pdfium.FPDFAttachment_GetName, attachment)) if attachment else ""
    return name.replace("\\", "/").rpartition("/")[2]
