"""`hip summarize`: one summary of everything, or with --each one a file."""

from typing import Annotated

import typer

from hipcli.cli import options as o
from hipcli.cli.flatten import flattened
from hipcli.cli.groups import RunOptions

Length = Annotated[
    o.SummaryLength,
    typer.Option(
        "--length", "-l", help="How long a summary to ask for.", envvar="HIPCLI_LENGTH", rich_help_panel=o.PROMPT
    ),
]
Each = Annotated[
    bool,
    typer.Option("--each", metavar="", help="One summary a file instead of one of all files.", rich_help_panel=o.INPUT),
]


@flattened
def summarize(
    each: Each = False,
    length: Length = "medium",
    prompt: o.PromptName = "summarize",
    *,
    options: RunOptions,
) -> int:
    """Summarize files, directories or standard input. All documents are read together, in one prompt, and get one
    summary; with --each every file gets its own. Nothing is cut off: what does not fit is refused, and --dry-run
    tells beforehand.
    """
    from hipcli.cli.settings import gather
    from hipcli.run import Task, run

    task = Task("summarize", [None], each, can_split=not each)
    return run(task, options.input.paths, gather(options, prompt, length, each))
