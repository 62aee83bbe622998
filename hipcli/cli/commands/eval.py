"""`hip eval`: what is left of a model's abilities under sparse attention?"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hipcli.cli import options as o
from hipcli.cli.flatten import flattened
from hipcli.cli.groups import ModelOptions

Task = Annotated[
    Literal["perplexity", "needle", "qa", "summary", "agreement"],
    typer.Argument(
        metavar="TASK",
        help="perplexity of the last quarter; needle: find what is hidden in the files; qa and summary: "
        "questions of a JSON Lines file; agreement with dense attention, token by token.",
    ),
]
Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILE", help="Texts; for qa and summary JSON Lines files of questions.", show_default=False),
]
Attention = Annotated[
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
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="TOKENS",
        help="Lengths of text, such as 8k,16k; for qa and summary the longest prompt to ask. "
        "Default: 8k; the model's window.",
        show_default=False,
    ),
]
Kinds = Annotated[
    str | None,
    typer.Option(
        "--kinds",
        metavar="LIST",
        help="Of needle: single, multikey, multivalue, multiquery, variables, words. Default: all.",
        show_default=False,
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--n",
        min=1,
        metavar="N",
        help="Texts a length (4; agreement 2), needle questions a kind and length (20), qa questions (all).",
        show_default=False,
    ),
]
Decode = Annotated[
    int,
    typer.Option("--decode", min=0, metavar="TOKENS", help="Of agreement: compare so many tokens one by one, too."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="NUMBER", min=0, help="What is hidden where, what is drawn.")]
Results = Annotated[
    Path | None,
    typer.Option(
        "--results",
        metavar="FILE",
        help="Append finished work here, and skip what is there. Several runs may share it.",
        rich_help_panel=o.OUTPUT,
        show_default=False,
    ),
]
Shard = Annotated[
    str, typer.Option("--shard", metavar="I/N", help="Do the I-th of N parts of the work.", rich_help_panel=o.OUTPUT)
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Of needle: draw depth against length (needs matplotlib).",
        rich_help_panel=o.OUTPUT,
        show_default=False,
    ),
]


@flattened
def eval(
    task: Task,
    paths: Files = None,
    *,
    model: ModelOptions,
    attention: Attention = ["dense", "hip"],  # noqa: B006
    context: Context = None,
    kinds: Kinds = None,
    n: Count = None,
    decode: Decode = 0,
    seed: Seed = 0,
    results: Results = None,
    shard: Shard = "1/1",
    output: o.OutputFile = None,
    plot: Plot = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> int:
    """Measure what a model loses under sparse attention, on your own files. Every number comes with a 95 % confidence
    interval; with --results a run that was stopped goes on where it was.
    """
    from hipcli.evaluation.session import Request, run
    from hipcli.output import render

    render.set_quiet(quiet)
    return run(
        Request(
            task, paths, model.name, model.device, model.dtype, attention, context, kinds, n, decode, seed, results,
            shard, output, plot, as_json,
        )
    )  # fmt: skip
