"""Names of files inside files, made safe to show and to tell apart."""

import posixpath
import re
import unicodedata
from collections import Counter

_DRIVE = re.compile(r"^[A-Za-z]:")
_LONGEST = 1000


class MemberNames:
    """Gives each member of one file a name of its own."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        """`name` made safe, with a number after it if another member has it already."""
        safe = safe_name(name)
        candidate = safe
        while self._taken[candidate]:
            self._taken[safe] += 1
            stem, suffix = posixpath.splitext(safe)
            candidate = f"{stem} ({self._taken[safe]}){suffix}"
        self._taken[candidate] = 1
        return candidate


def safe_name(name: str) -> str:
    """A relative path below the file: no root, no drive, no "..", no control characters, "/" between its parts."""
    name = _DRIVE.sub("", name.replace("\\", "/"))
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    shown = "".join("?" if unicodedata.category(letter) in ("Cc", "Cf", "Cs") else letter for letter in "/".join(parts))
    return shown[:_LONGEST] or "unnamed"
