"""The options of `hip eval`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import typer

from hipcli.cli import options as o
from hipcli.cli.flatten import Group
from hipcli.cli.groups import ModelOptions

EvalTask = Literal["perplexity", "needle", "qa", "summary", "evidence", "agreement"]


@dataclass(frozen=True, kw_only=True)
class EvalOptions(Group):
    """What to evaluate. Texts are as the user typed them; `n` None stands for the task's own default."""

    task: Annotated[
        EvalTask,
        typer.Argument(
            metavar="TASK",
            help="perplexity of the last quarter; needle: find what is hidden in the files; qa and summary: "
            "questions of a JSON Lines file; evidence: whether the sources of the answers are on the right page; "
            "agreement with dense attention, token by token.",
        ),
    ]
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Texts; for qa, summary and evidence JSON Lines files of questions.",
            show_default=False,
        ),
    ] = None
    model: ModelOptions
    attention: Annotated[
        list[str],
        typer.Option(
            "--attention",
            "-a",
            metavar="SPEC",
            help="NAME[:FIELD=VALUE,...], repeatable; the first is what others are compared with. Names: dense, hip, "
            "streaming, representative, representative-first, quest, mean, oracle, hyper, yarn:factor=N. "
            "Fields: top_k, block_q, block_k, sink, window, dense_layers, min_context, kv_cache and so on.",
            rich_help_panel=o.ATTENTION,
        ),
    ] = field(default_factory=lambda: ["dense", "hip"])
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="TOKENS",
            help="Lengths of text, such as 8k,16k; for qa and summary the longest prompt to ask. "
            "Default: 8k; the model's window.",
            show_default=False,
        ),
    ] = None
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            metavar="LIST",
            help="Of needle: single, multikey, multivalue, multiquery, variables, words. Default: all.",
            show_default=False,
        ),
    ] = None
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            min=1,
            metavar="N",
            help="Texts a length (4; agreement 2), needle questions a kind and length (20), qa questions (all).",
            show_default=False,
        ),
    ] = None
    decode: Annotated[
        int,
        typer.Option("--decode", min=0, metavar="TOKENS", help="Of agreement: compare so many tokens one by one, too."),
    ] = 0
    seed: Annotated[
        int, typer.Option("--seed", metavar="NUMBER", min=0, help="What is hidden where, what is drawn.")
    ] = 0
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="FILE",
            help="Append finished work here, and skip what is there. Several runs may share it.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None
    shard: Annotated[
        str,
        typer.Option("--shard", metavar="I/N", help="Do the I-th of N parts of the work.", rich_help_panel=o.OUTPUT),
    ] = "1/1"
    output: o.OutputFile = None
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Of needle: draw depth against length (needs matplotlib).",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None
    as_json: o.AsJson = False
    quiet: o.Quiet = False
