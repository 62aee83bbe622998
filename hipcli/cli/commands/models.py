"""`hip models`: which models are here, and fetching one before it is needed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hipcli.cli.options import AsJson

if TYPE_CHECKING:
    from hipcli.models.installed import Installed

app = typer.Typer(no_args_is_help=True, help="List the models on this machine, or fetch one.")

_EMBEDDED_NOTE = "small, shows that it works; use a bigger one for answers to rely on"


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models that hip can use without fetching anything, and the default."""
    from hipcli.models.installed import installed
    from hipcli.output.answers import Output, write_json

    models = list(installed())
    with Output() as output:
        if as_json:
            write_json(output, {"schema_version": 1, "command": "models", "models": [m.as_json() for m in models]})
        else:
            output.write(_table(models))


@app.command("pull")
def pull_model(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="ORG/NAME, ORG/NAME@REVISION or a GGUF file.", show_default="the default model"
        ),
    ] = None,
) -> None:
    """Fetch a model, or convert a GGUF file, so that later runs need no network. Prints its folder."""
    from hipcli.models.resolve import resolve
    from hipcli.output.answers import Output
    from hipcli.output.messages import say

    source = resolve(name, say, refresh=True)
    with Output() as output:
        output.write(f"{source.path}\n")


def _table(models: Sequence["Installed"]) -> str:
    from hipcli.output.messages import one_line

    rows = [("NAME", "WINDOW", "SIZE", "")]
    for model in models:
        note = _EMBEDDED_NOTE if model.kind == "embedded" else ""
        if model.shape is None:
            rows.append((model.name, "", "", f"the default, not fetched yet: hip models pull ({note})"))
            continue
        window = f"{model.shape.window:,}" if model.shape.window else "?"
        size = f"{model.shape.weight_bytes / 1e9:.2f} GB"
        rows.append((one_line(model.name), window, size, f"the default ({note})" if note else ""))
    width = max(len(row[0]) for row in rows)
    return "".join(
        f"{name:{width}}  {window:>9}  {size:>8}  {note}".rstrip() + "\n" for name, window, size, note in rows
    )
