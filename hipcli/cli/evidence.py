"""Options for what an answer rests on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hipcli.cli import options as o
from hipcli.cli.flatten import Group
from hipcli.errors import ExitCode, HipError
from hipcli.output.answers import STDOUT

_MOST = 1000


@dataclass(frozen=True, kw_only=True)
class EvidenceOptions(Group):
    """What is said of the passages that an answer rests on."""

    cite: Annotated[
        bool,
        typer.Option(
            "--cite",
            metavar="",
            help="Ask for quotes with their pages, and look each of them up in the documents.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False
    sources: Annotated[
        int,
        typer.Option(
            "--sources",
            metavar="NUMBER",
            min=0,
            max=_MOST,
            help="Show this many passages that the answer's attention lies on, with their pages.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = 0
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a web page, too: the answers with what they rest on, and what was read. It loads nothing.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None
    heatmap: Annotated[
        Path | None,
        typer.Option(
            "--heatmap",
            metavar="FILE",
            help="Draw, too, page by page, where the attention of the answers lies: a PNG, PDF or SVG file.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None
    extract: Annotated[
        int,
        typer.Option(
            "--extract",
            metavar="NUMBER",
            min=0,
            max=_MOST,
            help="Print this many such passages word for word, and no word of the model's own.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = 0


def check_files(output: Path | None, options: EvidenceOptions) -> None:
    """Raise HipError, exit code 2, where two things would be written to one place."""
    taken = {} if output is None or output == STDOUT else {os.path.realpath(output): "--output"}
    for option, path in (("--html", options.html), ("--heatmap", options.heatmap)):
        if path is None:
            continue
        if path == STDOUT:
            raise HipError(f"{option} -: standard output is for the answers", "name a file", ExitCode.USAGE)
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            raise HipError(f"{other} and {option} name the same file: {path}", None, ExitCode.USAGE)
