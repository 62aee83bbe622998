"""What one run is asked to do, gathered from its options and checked for sense."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from hip_attention.config import HipConfig

from hipcli.cli.options import AttentionKind, Dtype, KvCacheKind, PositionKind
from hipcli.disk.sessions import folder_of
from hipcli.documents.inputs import ReadOptions
from hipcli.errors import ExitCode, HipError

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
# Options that do nothing with another kind of attention than these.
_NEEDS = {
    "top_k": ("hip", "streaming"),
    "refresh_interval": ("hip",),
    "window": ("hip", "streaming"),
    "sink": ("hip", "streaming"),
    "dense_layers": ("hip", "streaming"),
    "selector": ("hip",),
    "positions": ("hip", "streaming"),
    "kv_cache": ("hip", "streaming"),
}


@dataclass(frozen=True)
class Settings:
    """Everything the options of `summarize` and `ask` say, apart from paths and questions.

    `unasked` are the fields of `hip` that the user left to us, which may suit the model and the device then.
    """

    reading: ReadOptions
    session: str | None
    prompt: str
    parameters: dict[str, str]
    length: str | None
    model: str
    device: str
    dtype: Dtype
    kv_cache: KvCacheKind
    attention: AttentionKind
    hip: HipConfig
    unasked: frozenset[str]
    positions: PositionKind
    temperature: float
    top_p: float
    seed: int | None
    max_tokens: int
    as_json: bool
    output: Path | None
    dry_run: bool
    verbose: bool
    quiet: bool


def gather(context: typer.Context) -> Settings:
    """The settings in a command's parameters. Raises HipError, exit code 2, naming the option that is wrong."""
    values = context.params
    _check(context)
    reading = ReadOptions(
        include=tuple(values["include"] or ()),
        exclude=tuple(values["exclude"] or ()),
        gitignore=not values["no_gitignore"],
        pages=values["pages"],
        password=values["password"],
        encoding=values["encoding"],
    )
    return Settings(
        reading=reading,
        parameters=_parameters(values["parameters"] or ()),
        length=values.get("length"),
        hip=_hip(values),
        unasked=frozenset(name for name in _OURS if values[name] is None),
        **{name: values[name] for name in _PLAIN},
    )


_OURS = ("top_k", "window", "refresh_interval")
_PLAIN = (
    "session", "prompt", "model", "device", "dtype", "kv_cache", "attention", "positions", "temperature", "top_p",
    "seed", "max_tokens", "as_json", "output", "dry_run", "verbose", "quiet",
)  # fmt: skip


def _check(context: typer.Context) -> None:
    values = context.params
    if values["verbose"] and values["quiet"]:
        raise _usage("--verbose and --quiet exclude each other")
    if values["session"] is not None:
        folder_of(values["session"])
        if values.get("each"):
            raise _usage("--session and --each exclude each other", "a session keeps one reading of all documents")
    if not _DEVICE.fullmatch(values["device"]):
        raise _usage(f"--device {values['device']}: no such device", "take auto, cpu, cuda or cuda:N")
    for name, kinds in _NEEDS.items():
        if _given(context, name) and values["attention"] not in kinds and values[name] != "yarn":
            raise _usage(f"{_flag(name)} has no effect with --attention {values['attention']}")
    if values["attention"] == "hip" and values["top_k"] == 0:
        raise _usage("--top-k 0 selects nothing", "say --attention streaming if that is what you want")
    if values["top_p"] <= 0:
        raise _usage("--top-p must be above 0")
    if _given(context, "top_p") and values["temperature"] == 0:
        raise _usage("--top-p has no effect with --temperature 0", "raise --temperature")


def _hip(values: dict[str, Any]) -> HipConfig:
    kind = values["attention"]
    if kind == "dense":
        return HipConfig(backend="dense")
    usual = {name: getattr(HipConfig, name) if values[name] is None else values[name] for name in _OURS}
    top_k, window = usual["top_k"], usual["window"]
    try:
        return HipConfig(
            # Streaming gets the same number of keys, so that the two can be compared.
            top_k=0 if kind == "streaming" else top_k,
            window=window + top_k if kind == "streaming" else window,
            sink=values["sink"],
            refresh_interval=usual["refresh_interval"],
            dense_layers=values["dense_layers"],
            selector=values["selector"],
        )
    except ValueError as error:
        field, _, rest = str(error).partition(" ")
        raise _usage(f"{_flag(field)} {rest}") from error


def _parameters(pairs: tuple[str, ...] | list[str]) -> dict[str, str]:
    parameters = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise _usage(f"--param {pair}: not KEY=VALUE")
        parameters[key] = value
    return parameters


def _given(context: typer.Context, name: str) -> bool:
    """Whether the user typed the option; what a configuration file says may well be idle in one run."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _usage(message: str, hint: str | None = None) -> HipError:
    return HipError(message, hint, ExitCode.USAGE)
