"""`hip summarize`: one summary of everything, or with --each one a file."""

from typing import Annotated

import typer

from hipcli.cli import options as o
from hipcli.cli.flatten import flattened
from hipcli.cli.groups import RunOptions
from hipcli.errors import ExitCode, HipError

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
Style = Annotated[
    o.SummaryStyle | None,
    typer.Option(
        "--style",
        help="What a summary is: running text (abstract), points, points in levels, or a part for each chapter.",
        rich_help_panel=o.PROMPT,
        show_default="abstract",
    ),
]
Focus = Annotated[
    str | None,
    typer.Option(
        "--focus",
        metavar="TEXT",
        help="What to tell about above all.",
        rich_help_panel=o.PROMPT,
        show_default=False,
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        metavar="NAME",
        help="Language to write in, such as German.",
        rich_help_panel=o.PROMPT,
        show_default=False,
    ),
]


@flattened
def summarize(
    each: Each = False,
    length: Length = "medium",
    style: Style = None,
    focus: Focus = None,
    language: Language = None,
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

    if style is not None and prompt != "summarize":
        hint = "a style is a prompt of its own: leave out one of the two"
        raise HipError("--style and --prompt exclude each other", hint, ExitCode.USAGE)
    if style is not None and style != "abstract":
        prompt = f"summarize-{style}"
    task = Task("summarize", [None], each, can_split=not each)
    return run(task, options.input.paths, gather(options, prompt, length, each, focus=focus, language=language))
