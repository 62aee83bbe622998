"""`hip bench`: how fast is attention on this machine's GPU?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    from hipcli.benchmark.rows import Row

app = typer.Typer(no_args_is_help=True, help="Measure the speed of attention.")

Tokens = Annotated[list[int] | None, typer.Option("--tokens", metavar="N", help="Prompt length. Repeatable.")]
TopK = Annotated[list[int] | None, typer.Option("--top-k", metavar="N", help="Keys to select. Repeatable.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", metavar="FILE", help="Write the measurements here.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw time against length (needs matplotlib).")
]


@app.callback()
def _bench() -> None:
    """Measure the speed of attention."""


@app.command()
def attention(tokens: Tokens = None, top_k: TopK = None, json_file: JsonFile = None, plot: Plot = None) -> None:
    """Time prefill, short prompts and decode beside PyTorch's dense attention, on random and on planted data.

    One layer of 32 query heads, 8 KV heads and 128 dimensions in bfloat16. Needs a CUDA GPU.
    """
    import torch

    from hipcli.benchmark.report import draw, measure, table, write

    if not torch.cuda.is_available():
        raise HipError("bench: no CUDA GPU found", "run it on a machine with one", ExitCode.FAILED)
    rows: list[Row] = []
    for row in measure(tuple(tokens or (32768, 131072, 524288, 1048576)), tuple(top_k or (1024, 2048))):
        rows.append(row)
        typer.echo(_line(row), err=True)
    typer.echo(table(rows))
    if json_file is not None:
        write(rows, json_file)
    if plot is not None:
        draw(rows, plot)


def _line(row: "Row") -> str:
    return f"{row.kind} {row.length} {row.data} {row.method}: {row.milliseconds:.3f} ms"
