"""`hip ask`: any number of questions about the same documents, which are read once."""

from pathlib import Path
from typing import Annotated

import typer

from hipcli.cli import options as o
from hipcli.cli.flatten import flattened
from hipcli.cli.groups import RunOptions
from hipcli.errors import ExitCode, HipError

Question = Annotated[
    list[str] | None,
    typer.Option(
        "--question",
        "-q",
        metavar="TEXT",
        help="What to ask. Repeatable.",
        rich_help_panel=o.PROMPT,
        show_default=False,
    ),
]
QuestionFile = Annotated[
    str | None,
    typer.Option(
        "--questions",
        metavar="FILE",
        help="Read questions from FILE, one a line; - for standard input.",
        rich_help_panel=o.PROMPT,
        show_default=False,
    ),
]
Each = Annotated[
    bool,
    typer.Option("--each", metavar="", help="Ask about every file by itself.", rich_help_panel=o.INPUT),
]
Schema = Annotated[
    Path | None,
    typer.Option(
        "--schema",
        metavar="FILE",
        help="Answer with JSON that follows this JSON Schema.",
        rich_help_panel=o.PROMPT,
        show_default=False,
    ),
]


@flattened
def ask(
    question: Question = None,
    questions: QuestionFile = None,
    each: Each = False,
    schema: Schema = None,
    prompt: o.PromptName = "ask",
    *,
    options: RunOptions,
) -> int:
    """Answer questions about files, directories or standard input. All documents are read together, in one prompt,
    and only once, however many questions there are; with --each every file is read by itself. Nothing is cut off: what
    does not fit is refused, and --dry-run tells beforehand.
    """
    from hipcli.cli.settings import gather
    from hipcli.run import Task, run

    paths = options.input.paths
    settings = gather(options, prompt, each=each, schema=schema)
    asked = [*(question or ()), *_from_file(questions, paths)]
    if not asked or not all(text.strip() for text in asked):
        hint = 'ask with -q "QUESTION", or with --questions FILE'
        raise HipError("--question: nothing is asked" if asked else "no question", hint, ExitCode.USAGE)
    return run(Task("ask", asked, each, can_split=not each), paths, settings)


def _from_file(name: str | None, paths: list[str] | None) -> list[str]:
    """The lines of a file of questions, blank ones skipped. Raises HipError, exit code 2."""
    from hipcli.documents.inputs import STDIN, standard_input
    from hipcli.documents.readers.text.text import decode

    if name is None:
        return []
    if name == STDIN and (not paths or STDIN in paths):
        raise HipError(
            "--questions -: standard input is already the document", "give the document as a PATH", ExitCode.USAGE
        )
    try:
        data = standard_input().read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise HipError(f"--questions {name}: {error.strerror}", None, ExitCode.USAGE) from error
    text, _ = decode(data, name, None)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise HipError(f"--questions {name}: no question in it", None, ExitCode.USAGE)
    return lines
