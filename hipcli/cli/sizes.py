"""Sizes on the disk, as people read and write them."""

import re

from hipcli.errors import ExitCode, HipError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *(|[KMGT]i?)B?", re.IGNORECASE)


def in_words(size: int) -> str:
    """Bytes as MB or GB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def in_bytes(text: str) -> int:
    """What --max-size says, such as 10GB. Raises HipError, exit code 2."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise HipError(f"--max-size {text}: not a size", "give it as 10GB, 500MB or 0", ExitCode.USAGE)
    unit = match[2].capitalize() if match[2] else ""
    return int(float(match[1]) * _UNITS[unit])
