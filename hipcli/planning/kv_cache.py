"""Whether keys and values are kept in full or, to save memory, as int8."""

from hipcli.cli.options import KvCacheKind, KvStorage
from hipcli.errors import ExitCode, HipError
from hipcli.planning.budget import Memory


def choose(
    kind: KvCacheKind, full: Memory, int8: Memory | None, kept: KvStorage | None = None, limits: str | None = None
) -> KvStorage:
    """What to keep keys and values as, given what either takes; `int8` is None where attention is dense.

    "auto" keeps them in full if that fits, or if int8 would not take less; a session that is `kept` as int8 stays so.
    Raises HipError, exit code 2, where int8 is asked for and the model cannot have it, for which `limits` says why.
    """
    if limits is not None and kind == "int8":
        hint = "say --kv-cache full, or use Llama, Qwen 2 or 3, Mistral or Gemma 3"
        raise HipError(f"--kv-cache int8: this model cannot: {limits}", hint, ExitCode.USAGE)
    if int8 is None or limits is not None:
        return "full"
    if kind != "auto":
        return kind
    short = full.excess > 0 and int8.needed < full.needed
    return "int8" if short or kept == "int8" else "full"
