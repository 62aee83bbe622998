"""`hip chat`: a conversation about documents, which are read once."""

from typing import Annotated

import typer

from hipcli.cli import options as o
from hipcli.cli.flatten import flattened
from hipcli.cli.groups import RunOptions
from hipcli.errors import ExitCode, HipError

Room = Annotated[
    int | None,
    typer.Option(
        "--room",
        metavar="TOKENS",
        min=64,
        help="Room for questions and answers; by default up to 8,192, as the documents and the model's window allow.",
        rich_help_panel=o.PROMPT,
        show_default=False,
    ),
]


@flattened
def chat(room: Room = None, prompt: o.PromptName = "ask", *, options: RunOptions) -> int:
    """Talk about files or directories. They are read once; questions and answers stay in memory, too, and nothing is
    read again. With --session, the conversation goes on another day. Questions are typed, or piped in, one a line;
    /help lists what else can be said.
    """
    from hipcli.cli.settings import gather

    paths = options.input.paths
    settings = gather(options, prompt)
    if not paths:
        raise HipError("no documents: no PATH is given", "name files or directories", ExitCode.USAGE)
    if settings.output is not None or settings.jsonl or (settings.as_json and not settings.dry_run):
        option = "--json" if settings.as_json else "--jsonl" if settings.jsonl else "--output"
        hint = "say /save FILE in the conversation, or use `hip ask`"
        raise HipError(f"{option} has no effect on a conversation", hint, ExitCode.USAGE)
    if settings.wants_sources:
        raise HipError(
            "--sources, --extract, --html and --heatmap have no effect on a conversation",
            "say /sources in the conversation",
            ExitCode.USAGE,
        )
    from hipcli.chat.chat import chat as converse

    return converse(paths, settings, room)
