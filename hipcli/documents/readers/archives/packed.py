"""Files packed by themselves: gzip, bzip2, xz."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.archives.zip_files import too_big
from hipcli.errors import HipError


class _Stream(Protocol):
    def read1(self, size: int, /) -> bytes: ...


_OPENERS: dict[bytes, tuple[str, Callable[[BinaryIO], _Stream]]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bz2", bz2.BZ2File),
    b"\xfd7zXZ\0": ("xz", lzma.LZMAFile),
}
_FAULTS = (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)
_AT_ONCE = 2**18


@dataclass(frozen=True)
class Packed:
    """What was in a packed file, and how it was packed."""

    kind: str
    data: bytes
    warnings: tuple[str, ...]


def unpack(data: bytes, where: str, options: ReadOptions) -> Packed | None:
    """What is packed in `data`, up to where it is damaged or cut off; None if it is no packed file.

    Raises HipError, which calls it `where`, if nothing can be unpacked or it is too big.
    """
    found = next((entry for magic, entry in _OPENERS.items() if data.startswith(magic)), None)
    if found is None:
        return None
    kind, opener = found
    unpacked = bytearray()
    warnings: tuple[str, ...] = ()
    try:
        # Small pieces: where one ends in a fault, what was read with it is lost.
        stream = opener(io.BytesIO(data))
        while piece := stream.read1(_AT_ONCE):
            unpacked += piece
            if len(unpacked) > options.most_bytes:
                raise too_big(where, options)
    except _FAULTS as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        if not unpacked:
            raise HipError(f"{where}: is a damaged {kind} file ({reason})", "download or copy it again") from error
        cut = isinstance(error, EOFError)
        what = "is cut off" if cut else f"is damaged ({reason})"
        warnings = (f"its {kind} file {what}: only the first {len(unpacked):,} bytes are read.",)
    return Packed(kind, bytes(unpacked), warnings)
