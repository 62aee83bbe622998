"""Compound files (OLE): what is in one, for old office formats, protected ones and embedded objects."""

import io
import struct
from typing import TYPE_CHECKING

from hipcli.documents.document import Member

if TYPE_CHECKING:
    import olefile

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Records of a workbook.
_FILE_PASS = 0x2F
_END_OF_PART = 0x0A
# The streams that tell a format, and what to call a file of it.
_FORMATS = {
    "EncryptedPackage": "encrypted",
    "EncryptedSummary": "encrypted",
    "WordDocument": "doc",
    "PowerPoint Document": "ppt",
    "__properties_version1.0": "msg",
    "Workbook": "xls",
    "Book": "xls",
    "VisioDocument": "vsd",
    "Quill": "pub",
    "FileHeader": "hwp",
}


def format_of(data: bytes) -> str | None:
    """ "doc", "ppt", "xls", "msg", "encrypted", ...; None where it is none of these. Raises OSError for damage."""
    with _open(data) as compound:
        try:
            entries = {path[0].lower() for path in compound.listdir(streams=True, storages=True)}
        except RecursionError as error:
            raise OSError("storages in storages without end") from error
    return next((name for entry, name in _FORMATS.items() if entry.lower() in entries), None)


def is_protected_workbook(data: bytes) -> bool:
    """Whether an xls file is encrypted: its stream says so among its first records. Raises OSError for damage."""
    with _open(data) as compound:
        name = next((name for name in ("Workbook", "Book") if compound.exists(name)), None)
        stream = compound.openstream(name).read() if name else b""
    position = 0
    while position + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, position)
        if kind in (_FILE_PASS, _END_OF_PART):
            return bool(kind == _FILE_PASS)
        position += 4 + size
    return False


def embedded_file(data: bytes, name: str) -> Member | None:
    """The file that an embedded object holds; None where it holds none, or is damaged."""
    if not data.startswith(MAGIC):
        return None
    try:
        with _open(data) as compound:
            for stream in ("Package", "CONTENTS"):
                inner = compound.openstream(stream).read() if compound.exists(stream) else b""
                if inner.startswith((b"PK", b"%PDF")):
                    return Member(name, lambda inner=inner: inner)  # type: ignore[misc]
            if compound.exists("\x01Ole10Native"):
                return _native(compound.openstream("\x01Ole10Native").read())
        suffix = format_of(data)
    except (OSError, ValueError, IndexError, TypeError):  # what olefile raises on damage
        return None
    return None if suffix is None else Member(f"{name.removesuffix('.bin')}.{suffix}", lambda: data)


def _native(data: bytes) -> Member | None:
    """The file in a stream of the packager: a label and a name, each ended by NUL, a path with its length before it,
    and the bytes with their size before them.
    """
    label, _, rest = data[6:].partition(b"\0")
    rest = rest.partition(b"\0")[2][4:]
    rest = rest[4 + int.from_bytes(rest[:4], "little") :]
    inner = rest[4 : 4 + int.from_bytes(rest[:4], "little")]
    return Member(label.decode("cp1252", "replace") or "object", lambda: inner) if inner else None


def _open(data: bytes) -> "olefile.OleFileIO":
    import olefile

    return olefile.OleFileIO(io.BytesIO(data))
