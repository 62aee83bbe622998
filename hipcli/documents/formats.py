"""Which reader a file is for: by what its bytes say, and by its name where bytes cannot tell."""

import io
import zipfile
import zlib
from collections.abc import Callable
from importlib import import_module

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions

Reader = Callable[[bytes, str, ReadOptions], Content]

_READERS = "hipcli.documents.readers."
_PDF_MAGIC = b"%PDF-"
_BEFORE_MAGIC = b"\xef\xbb\xbf\0 \t\r\n"

# The modules in the packages of `readers` that have a function `read` (a Reader).
_PACKAGES = {
    "text": "text", "tables": "text", "subtitles": "text", "notebook": "text",
    "pdf": "pdf",
    "picture": "pictures",
    "word": "office", "slides": "office", "sheets": "office", "opendocument": "office", "old_office": "office",
    "rtf": "office",
    "html": "web", "epub": "web",
    "mail": "mail",
    "archive": "archives",
}  # fmt: skip
_BY_MAGIC = (
    (b"{\\rtf", "rtf"),
    (b"\x1f\x8b", "archive"),  # gzip
    (b"BZh", "archive"),
    (b"\xfd7zXZ\0", "archive"),
    (b"\x28\xb5\x2f\xfd", "archive"),  # Zstandard
    (b"\x1f\x9d", "archive"),  # compress
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"Rar!\x1a\x07", "archive"),
    (b"\x89PNG\r\n", "picture"),
    (b"\xff\xd8\xff", "picture"),  # JPEG
    (b"II*\0", "picture"),  # TIFF
    (b"MM\0*", "picture"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old_office"),
)
_BY_SUFFIX = {
    "pdf": "pdf",
    "docx": "word", "docm": "word", "dotx": "word",
    "pptx": "slides", "pptm": "slides", "ppsx": "slides",
    "xlsx": "sheets", "xlsm": "sheets", "xlsb": "sheets", "xls": "sheets", "ods": "sheets",
    "odt": "opendocument", "ott": "opendocument", "odp": "opendocument",
    "epub": "epub",
    "html": "html", "htm": "html", "xhtml": "html",
    "rtf": "rtf",
    "eml": "mail", "mbox": "mail",
    "ipynb": "notebook",
    "csv": "tables", "tsv": "tables",
    "srt": "subtitles", "vtt": "subtitles",
    "zip": "archive", "tar": "archive", "gz": "archive", "tgz": "archive",
    "png": "picture", "jpg": "picture", "jpeg": "picture", "tif": "picture", "tiff": "picture", "webp": "picture",
    "bmp": "picture",
}  # fmt: skip
# Formats that are zip files, by the beginning of a member's name; the order decides.
_BY_MEMBER = (("word/", "word"), ("ppt/", "slides"), ("xl/", "sheets"))
_BY_MIMETYPE = {
    b"application/epub+zip": "epub",
    b"application/vnd.oasis.opendocument.text": "opendocument",
    b"application/vnd.oasis.opendocument.presentation": "opendocument",
    b"application/vnd.oasis.opendocument.spreadsheet": "sheets",
    b"application/vnd.oasis.opendocument.text-template": "opendocument",
    b"application/vnd.oasis.opendocument.presentation-template": "opendocument",
    b"application/vnd.oasis.opendocument.spreadsheet-template": "sheets",
}
_LONGEST_MIMETYPE = 200  # bytes
_NEEDS_ZIP = {"word", "slides", "opendocument", "epub"}
_WITHOUT_MAGIC = {"html", "mail", "notebook", "tables", "subtitles", "pdf"}


def reader_name(path: str, data: bytes) -> str:
    """The module in `readers` for a file of that name and content; "text" if it is none of the formats known."""
    if data[:1024].lstrip(_BEFORE_MAGIC).startswith(_PDF_MAGIC):
        return "pdf"
    for magic, name in _BY_MAGIC:
        if data.startswith(magic):
            return name
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _inside_zip(data)
    if (data[:4], data[8:12]) == (b"RIFF", b"WEBP") or (data[:2], data[6:10]) == (b"BM", b"\0\0\0\0"):
        return "picture"
    if data[257:262] == b"ustar" or path.lower().endswith(".tar"):
        return "archive"
    by_suffix = _BY_SUFFIX.get(path.lower().rpartition(".")[2], "text") if "." in path else "text"
    if by_suffix in _WITHOUT_MAGIC:
        return by_suffix
    start = data[:1024].lstrip(_BEFORE_MAGIC).lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    # Some PDFs have other bytes first; but a text about PDFs is no PDF.
    return "pdf" if _PDF_MAGIC in data[:1024] and b"\0" in data[:8192] else "text"


def reader(name: str) -> Reader:
    """The function that reads this format. Raises HipError where an extra is missing that it needs."""
    read: Reader = import_module(f"{_READERS}{_PACKAGES[name]}.{name}").read
    return read


def _inside_zip(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {name.replace("\\", "/").lower() for name in archive.namelist()}
            mimetype = b""
            if "mimetype" in archive.namelist():
                with archive.open("mimetype") as stream:
                    mimetype = stream.read(_LONGEST_MIMETYPE)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        return "archive"  # whose reader says what is wrong with it
    if mimetype.strip() in _BY_MIMETYPE:
        return _BY_MIMETYPE[mimetype.strip()]
    if "[content_types].xml" in names:
        for start, name in _BY_MEMBER:
            if any(member.startswith(start) for member in names):
                return name
    return "archive"
