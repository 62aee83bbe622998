"""Compound files (OLE): old Excel files go to the reader of sheets, others are refused by name."""

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office.ole import format_of, is_protected_workbook
from hipcli.errors import HipError

_CONVERT = "save it as {0} in an office program, for example: soffice --headless --convert-to {0} FILE"
# What a format is called, and what to do about it.
_REFUSALS = {
    "doc": ("is a document of Word 97-2003 (.doc), which is not read", _CONVERT.format("docx")),
    "ppt": ("is a presentation of PowerPoint 97-2003 (.ppt), which is not read", _CONVERT.format("pptx")),
    "msg": ("is a message of Outlook (.msg), which is not read", "save it as .eml in a mail program"),
    "vsd": ("is a drawing of Visio (.vsd), which is not read", _CONVERT.format("pdf")),
    "pub": ("is a publication of Publisher (.pub), which is not read", _CONVERT.format("pdf")),
    "hwp": ("is a document of Hangul (.hwp), which is not read", "save it as docx or PDF"),
    "encrypted": ("is protected by a password", "save it without a password in an office program"),
}
_UNKNOWN = ("is a compound file (OLE) of an unknown format, which is not read", "convert it to PDF or to text")
_DAMAGED = ("is a damaged office file", "open it in an office program, which may repair it, and save it again")


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The sheets of an old Excel file. Raises HipError for all other compound files; `where` names the file."""
    try:
        name = format_of(data)
        if name == "xls" and is_protected_workbook(data):
            name = "encrypted"
    except (OSError, ValueError, IndexError, TypeError) as error:  # what olefile raises on damage
        what, hint = _DAMAGED
        raise HipError(f"{where}: {what}", hint) from error
    if name == "xls":
        from hipcli.documents.readers.office import sheets

        return sheets.read(data, where, options)
    what, hint = _REFUSALS.get(name or "", _UNKNOWN)
    raise HipError(f"{where}: {what}", hint)
