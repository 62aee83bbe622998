"""Memory that is used again instead of being given back to the system between two operations."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed; returns whether this is possible here.

    A layer's intermediate results are tens of megabytes. By default each is mapped, filled with zeros a page at a
    time, and unmapped again, which can take several times as long as the operation that fills it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 28)) and bool(mallopt(_TRIM_THRESHOLD, 1 << 30))
