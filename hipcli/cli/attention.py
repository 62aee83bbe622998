"""The group of options that say what attention sees."""

from dataclasses import dataclass
from typing import Annotated

import typer
from hip_attention.config import Selector

from hipcli.cli import options as o
from hipcli.cli.flatten import Group


@dataclass(frozen=True, kw_only=True)
class AttentionOptions(Group):
    """Which keys a token sees, and how they are kept. None leaves it to the model, the prompt and the device."""

    kv_cache: Annotated[
        o.KvCacheKind,
        typer.Option(
            "--kv-cache",
            help="What the model's keys and values are kept as: int8 takes about half the memory; "
            "auto takes it where full does not fit.",
            envvar="HIPCLI_KV_CACHE",
            rich_help_panel=o.MODEL,
        ),
    ] = "auto"
    kind: Annotated[
        o.AttentionKind,
        typer.Option(
            "--attention",
            help="hip selects keys, streaming sees only sink and window, dense sees all keys.",
            envvar="HIPCLI_ATTENTION",
            rich_help_panel=o.ATTENTION,
        ),
    ] = "hip"
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k",
            min=0,
            metavar="TOKENS",
            help="Keys every query block selects. Unless said: "
            f"{o.ATTENTION_DEFAULTS.top_k}, at stretched positions {o.STRETCHED_TOP_K}.",
            envvar="HIPCLI_TOP_K",
            rich_help_panel=o.ATTENTION,
        ),
    ] = None
    refresh_interval: Annotated[
        int | None,
        typer.Option(
            "--refresh-interval",
            min=1,
            metavar="TOKENS",
            help=f"Answer tokens that share one selection. Unless said: {o.ATTENTION_DEFAULTS.refresh_interval}, "
            f"on a GPU {o.GPU_REFRESH}.",
            envvar="HIPCLI_REFRESH_INTERVAL",
            rich_help_panel=o.ATTENTION,
        ),
    ] = None
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=1,
            metavar="TOKENS",
            help=f"Most recent keys, always seen. Unless said: {o.ATTENTION_DEFAULTS.window}, past the trained window "
            f"up to {o.LONG_WINDOW}.",
            envvar="HIPCLI_WINDOW",
            rich_help_panel=o.ATTENTION,
        ),
    ] = None
    sink: Annotated[
        int,
        typer.Option(
            "--sink",
            min=0,
            metavar="TOKENS",
            help="First keys, always seen.",
            envvar="HIPCLI_SINK",
            rich_help_panel=o.ATTENTION,
        ),
    ] = o.ATTENTION_DEFAULTS.sink
    dense_layers: Annotated[
        int,
        typer.Option(
            "--dense-layers",
            min=0,
            metavar="N",
            help="First layers that see all keys.",
            envvar="HIPCLI_DENSE_LAYERS",
            rich_help_panel=o.ATTENTION,
        ),
    ] = o.ATTENTION_DEFAULTS.dense_layers
    selector: Annotated[
        Selector,
        typer.Option("--selector", help="How keys are found.", envvar="HIPCLI_SELECTOR", rich_help_panel=o.ATTENTION),
    ] = o.ATTENTION_DEFAULTS.selector
    positions: Annotated[
        o.PositionKind,
        typer.Option(
            "--positions",
            help="packed numbers the keys a token sees one after the other, exact keeps their positions in the "
            "prompt, yarn stretches the model's trained window up to 4 times; auto takes yarn for Qwen 2 and 3 and "
            "packed for others where the prompt is longer than the window.",
            envvar="HIPCLI_POSITIONS",
            rich_help_panel=o.ATTENTION,
        ),
    ] = "auto"
