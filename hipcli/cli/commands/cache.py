"""`hip cache`: what sessions and converted models take on the disk, and making room."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hipcli.cli.options import AsJson
from hipcli.cli.sizes import in_bytes, in_words
from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    from hipcli.disk.inventory import Entry

app = typer.Typer(no_args_is_help=True, help="List what hip keeps on the disk, or remove some of it.")


@app.command("ls")
def list_entries(as_json: AsJson = False) -> None:
    """List sessions and converted models with their sizes, those used last first, and what killed runs left."""
    from hipcli.disk.inventory import entries
    from hipcli.output.answers import Output, write_json

    found = entries()
    total = sum(entry.bytes for entry in found)
    with Output() as output:
        if as_json:
            listed = {"entries": [entry.as_json() for entry in found], "bytes": total}
            write_json(output, {"schema_version": 1, "command": "cache", **listed})
        else:
            output.write(_table(found) + f"{len(found)} in all, {in_words(total)}\n")


@app.command("rm")
def remove_entries(names: Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False)]) -> None:
    """Remove sessions or converted models by the names that `hip cache ls` shows. Tells what is freed."""
    from hipcli.disk.inventory import named

    _remove(named(names), "removed")


@app.command("prune")
def prune(
    max_size: Annotated[
        str | None,
        typer.Option("--max-size", metavar="SIZE", help="What the rest may take, such as 10GB.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", metavar="", help="Tell, but remove nothing.")] = False,
) -> None:
    """Remove what killed runs left and, given --max-size, sessions and models until the rest is no larger: those that
    were not used for longest go first.
    """
    from hipcli.disk.inventory import entries, surplus

    limit = None if max_size is None else in_bytes(max_size)
    present = entries()
    chosen = [entry for entry in present if entry.kind == "left over"]
    if limit is not None:
        chosen += surplus(present, limit)
    if dry_run:
        _tell(chosen, "would remove")
    else:
        _remove(chosen, "removed")


def _remove(chosen: Sequence["Entry"], verb: str) -> None:
    """Remove what can be. What cannot is reported, and decides the exit status."""
    from hipcli.disk.inventory import remove
    from hipcli.output.messages import report

    done = []
    for entry in chosen:
        try:
            remove(entry)
            done.append(entry)
        except HipError as error:
            report(error)
    _tell(done, verb)
    if len(done) < len(chosen):
        raise typer.Exit(ExitCode.FAILED)


def _tell(entries: Sequence["Entry"], verb: str) -> None:
    from hipcli.output.answers import Output
    from hipcli.output.messages import one_line

    lines = [f"{verb} {entry.kind} {one_line(entry.name)} ({in_words(entry.bytes)})\n" for entry in entries]
    freed = in_words(sum(entry.bytes for entry in entries))
    with Output() as output:
        output.write("".join(lines) + f"{freed} {'to free' if verb != 'removed' else 'freed'}\n")


def _table(entries: Sequence["Entry"]) -> str:
    from datetime import datetime

    from hipcli.output.messages import one_line

    rows = [("NAME", "KIND", "SIZE", "MADE", "LAST USED", "")]
    for entry in entries:
        made = datetime.fromtimestamp(entry.header.created).strftime("%Y-%m-%d") if entry.header else ""
        used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        rows.append((one_line(entry.name), entry.kind, in_words(entry.bytes), made, used, one_line(entry.note)))
    width = max(len(row[0]) for row in rows)
    return "".join(
        f"{name:{width}}  {kind:9}  {size:>9}  {made:10}  {used:16}  {note}".rstrip() + "\n"
        for name, kind, size, made, used, note in rows
    )
