"""One way to attend, as a line of text: `hip:top_k=2048,factor=4`, `quest`, `yarn:factor=4`. Imports nothing heavy."""

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from hip_attention.config import HipConfig

from hipcli.cli.options import KvStorage
from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    from hip_attention.cache.layer import SparseAttention

# Methods that this package brings; they choose by every row of a query block unless told otherwise.
BASELINES = ("quest", "mean", "oracle", "leaves", "hyper")
SELECTORS = ("representative", "representative-first")
METHODS = ("dense", "hip", "streaming", *SELECTORS, *BASELINES, "yarn")


@dataclass(frozen=True)
class Spec:
    """A kind of attention with its settings. `text` is what the user called it.

    `method` is one of METHODS; `config` says where attention is sparse and how many keys it may use; `yarn` is the
    `factor` by which YaRN stretches the trained window, None to leave positions as the model has them; `int8` keeps
    keys and values as int8.
    """

    text: str
    method: str
    config: HipConfig
    yarn: float | None = None
    int8: bool = False

    def settings(self) -> dict[str, Any]:
        """Everything that decides the outcome, as plain values; what it is called does not.

        Dense attention has no settings, so that its results outlive other defaults.
        """
        config = {"backend": "dense"} if self.config.backend == "dense" else asdict(self.config)
        kept = {"kv_cache": "int8"} if self.int8 else {}
        return {"method": self.method, "yarn": self.yarn, **config, **kept}

    def attention(self) -> "SparseAttention | None":
        """What replaces sparse attention, or None where the product's own is meant. Imports torch."""
        if self.method not in BASELINES:
            return None
        from hipcli.evaluation import baselines, hyper, leaves

        own = {"hyper": hyper.attention, "leaves": leaves.attention}
        return own.get(self.method) or baselines.ATTENTION[self.method]


def parse(text: str) -> Spec:
    """A Spec for NAME[:field=value,...]; numbers may end in k (1024). Raises HipError, exit code 2."""
    name, _, rest = text.partition(":")
    if name not in METHODS:
        raise _usage(text, f"no method {name!r}", f"methods: {', '.join(METHODS)}")
    values = dict(_field(text, pair) for pair in rest.split(",") if pair)
    factor = values.pop("factor", None)
    if name == "yarn" and (factor is None or values):
        raise _usage(text, "yarn takes one setting, factor", "say yarn:factor=2")
    if name == "dense" and (values or factor is not None):
        raise _usage(text, f"dense takes none of {', '.join(values) or 'factor'}")
    int8 = values.pop("kv_cache", "full") == "int8"
    try:
        return Spec(text, name, _config(name, values), factor, int8)
    except ValueError as error:
        raise _usage(text, str(error)) from error


def tokens(text: str) -> int:
    """A number of tokens: "4096" or "4k". Raises HipError, exit code 2."""
    digits, factor = (text[:-1], 1024) if text[-1:] in "kK" else (text, 1)
    if not digits.isdecimal():
        raise HipError(f"{text!r}: not a number of tokens", "say 8192 or 8k", ExitCode.USAGE)
    return int(digits) * factor


def _config(name: str, values: dict[str, Any]) -> HipConfig:
    if name in ("dense", "yarn"):
        return HipConfig(backend="dense")
    if name in SELECTORS:
        values = {"selector": name, **values}
    if name in BASELINES:
        values = {"query_stride": 1, **values}
        if values.get("packed_from") is not None:
            raise ValueError(f"{name} knows no packed positions")
    config = HipConfig(**values)
    # Streaming gets the same number of keys, so that the two can be compared.
    return replace(config, top_k=0, window=config.window + config.top_k) if name == "streaming" else config


def _field(text: str, pair: str) -> tuple[str, Any]:
    field, equals, value = pair.partition("=")
    if not equals:
        raise _usage(text, f"{pair!r} is not FIELD=VALUE")
    if field == "factor":
        try:
            return field, float(value)
        except ValueError as error:
            raise _usage(text, f"factor must be a number, not {value!r}") from error
    if field == "kv_cache":
        if value not in get_args(KvStorage):
            raise _usage(text, f"kv_cache is one of {', '.join(get_args(KvStorage))}, not {value!r}")
        return field, value
    known = [*(each.name for each in fields(HipConfig)), "kv_cache"]
    if field not in known:
        raise _usage(text, f"no field {field!r}", f"fields: {', '.join(known)}")
    kind = get_type_hints(HipConfig)[field]
    return field, tokens(value) if kind is int or int in get_args(kind) else value


def _usage(text: str, what: str, hint: str | None = None) -> HipError:
    return HipError(f"--attention {text}: {what}", hint, ExitCode.USAGE)
