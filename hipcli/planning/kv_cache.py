"""Whether keys and values are kept in full or, to save memory, as integers."""

from hipcli.cli.options import KvCacheKind, KvStorage
from hipcli.planning.budget import Memory


def choose(kind: KvCacheKind, full: Memory, int8: Memory | None, kept: KvStorage | None = None) -> KvStorage:
    """What to keep keys and values as, given what either takes; `int8` is None where attention is dense.

    "auto" keeps them in full if that fits, or if integers would not take less; a session that is `kept` as integers
    goes on with them.
    """
    if int8 is None:
        return "full"
    if kind != "auto":
        return kind
    short = full.excess > 0 and int8.needed < full.needed
    return "int8" if short or kept == "int8" else "full"
