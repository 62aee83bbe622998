"""Opening a GGUF file whose header may be hostile: the library's reader believes every count in it."""

import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gguf import GGUFReader

_MOST_VALUES = 4_000_000  # twice what the biggest vocabularies take; each takes some 300 bytes of memory
_MAGIC = b"GGUF"
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes, by the type of a value
_STRING, _ARRAY = 8, 9
_MOST_NESTED = 8  # arrays of arrays


def open_gguf(path: Path) -> "GGUFReader":
    """The library's reader of `path`. Raises ValueError where a count goes beyond the file or is absurd.

    It raises what numpy or the interpreter make of other damage, too.
    """
    from gguf import GGUFReader

    with open(path, "rb") as file:
        # Of an empty file no map can be made; the library says what is wrong with it.
        if file.read(len(_MAGIC)) == _MAGIC:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _Header(data).check()
    return GGUFReader(path)


class _Header:
    """Walks through a header, from count to count. The layout is that of versions 2 and 3 of the format."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._place = len(_MAGIC)
        self._values = 0
        self._order = "<"

    def check(self) -> None:
        version = self._number("I")
        if not version & 0xFFFF:
            self._order = ">"
        tensors, pairs = self._number("Q"), self._number("Q")
        for _ in range(pairs):
            self._string()
            self._value(self._number("I"), 0)
        for _ in range(tensors):
            self._string()
            dimensions = self._number("I")
            self._skip(8 * dimensions + 4 + 8)  # the sizes, the type and the offset
            self._count(dimensions + 3)

    def _value(self, kind: int, depth: int) -> None:
        self._count(1)
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            if depth == _MOST_NESTED:
                raise ValueError("its header has arrays in arrays without end")
            inner, length = self._number("I"), self._number("Q")
            if inner in _SIZES:
                self._count(length)
                self._skip(_SIZES[inner] * length)
            else:
                for _ in range(length):
                    self._value(inner, depth + 1)
        elif kind in _SIZES:
            self._skip(_SIZES[kind])
        else:
            raise ValueError(f"its header has a value of type {kind}, which there is not")

    def _string(self) -> None:
        self._skip(self._number("Q"))

    def _number(self, form: str) -> int:
        start = self._place
        self._skip(struct.calcsize(form))
        (number,) = struct.unpack_from(self._order + form, self._data, start)
        return int(number)

    def _skip(self, length: int) -> None:
        self._place += length
        if self._place > len(self._data):
            raise ValueError("it ends too early")

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > _MOST_VALUES:
            raise ValueError(f"its header has more than {_MOST_VALUES:,} values")
