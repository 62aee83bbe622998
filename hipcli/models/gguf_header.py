"""Opening a GGUF file whose header may be hostile: the library's reader believes every count in it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gguf import GGUFReader

_MOST_VALUES = 4_000_000  # twice what the biggest vocabularies take; each takes some 300 bytes of memory


def open_gguf(path: Path) -> "GGUFReader":
    """The library's reader of `path`. Raises ValueError where a count goes beyond the file or is absurd.

    It raises what numpy or the interpreter make of other damage, too.
    """
    from gguf import GGUFReader

    class Checked(GGUFReader):  # type: ignore[misc]
        values = 0

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            found = super()._get(offset, dtype, count, override_order)
            # Beyond the end there are empty values, of which an array can have any number.
            if len(found) != int(count):
                raise ValueError("it ends too early")
            self.values += 1
            if self.values > _MOST_VALUES:
                raise ValueError(f"its header has more than {_MOST_VALUES:,} values")
            return found

    return Checked(path)
