"""The index of a git repository: the paths of the files that it tracks (gitformat-index in git's manual)."""

import struct

_HEADER = struct.Struct(">4sLL")
_BEFORE_OBJECT_ID = 40  # times, device, inode, mode, owner and size
_EXTENDED = 0x4000


def tracked_paths(data: bytes, object_id_bytes: int) -> list[bytes]:
    """The paths in an index. Raises ValueError if `data` is none.

    Files that only the shared part of a split index names are left out.
    """
    if len(data) < _HEADER.size:
        raise ValueError("not a git index")
    magic, version, count = _HEADER.unpack_from(data)
    if magic != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("not a git index, or of an unknown version")
    paths: list[bytes] = []
    path = b""
    at = _HEADER.size
    for _ in range(count):
        start = at
        at += _BEFORE_OBJECT_ID + object_id_bytes
        if at + 2 > len(data):
            raise ValueError("git index is cut off")
        extended = version > 2 and int.from_bytes(data[at : at + 2], "big") & _EXTENDED
        at += 4 if extended else 2
        kept = b""
        if version == 4:
            dropped, at = _variable_length(data, at)
            kept = path[: max(0, len(path) - dropped)]
        end = data.find(b"\0", at)
        if end < 0:
            raise ValueError("git index is cut off")
        path = kept + data[at:end]
        paths.append(path)
        # Versions 2 and 3 fill every entry up to a multiple of 8 bytes.
        at = end + 1 if version == 4 else start + (end - start) // 8 * 8 + 8
    return paths


def _variable_length(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, 7 bits a byte with the first byte highest, and where it ends."""
    number = -1
    while True:
        if at >= len(data):
            raise ValueError("git index is cut off")
        number = (number + 1) << 7 | data[at] & 0x7F
        at += 1
        if data[at - 1] < 0x80:
            return number, at
