"""The `hip` command: its verbs, and what holds for all of them."""

from pathlib import Path
from typing import Annotated

import typer

from hipcli import __version__
from hipcli.cli import config_file
from hipcli.cli.commands.ask import ask
from hipcli.cli.commands.bench import app as bench
from hipcli.cli.commands.cache import app as cache
from hipcli.cli.commands.chat import chat
from hipcli.cli.commands.doctor import doctor
from hipcli.cli.commands.eval import eval
from hipcli.cli.commands.extract import extract
from hipcli.cli.commands.models import app as models
from hipcli.cli.commands.summarize import summarize

app = typer.Typer(
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_EXIT_STATUS = "Exit status: 0 done, 1 failed, 2 usage, 3 does not fit, 129, 130, 143 interrupted, 141 broken pipe."


def _examples(*commands: str) -> str:
    """Text for the end of a help page."""
    return "\n".join(["Examples:", *(f"  {command}" for command in commands), "", _EXIT_STATUS])


app.command(
    short_help="Summarize files, directories or standard input.",
    epilog=_examples(
        "hip summarize report.pdf",
        "hip summarize --length short --pages 3-40 book.pdf",
        "hip summarize --each --include '*.md' docs/",
        "git diff main | hip summarize -",
        "hip summarize --dry-run book.pdf",
    ),
)(summarize)
app.command(
    short_help="Answer questions about documents, read only once.",
    epilog=_examples(
        'hip ask -q "Who pays for repairs?" lease.pdf',
        'hip ask -q "What was decided?" -q "Who disagreed?" minutes/',
        'cat notes.txt | hip ask -q "What is due on Friday?" -',
        'hip ask --json --questions questions.txt lease.pdf | jq -r ".answers\\[].text"',
    ),
)(ask)
app.command(
    short_help="Talk about documents, read only once.",
    epilog=_examples(
        "hip chat report.pdf",
        "hip chat --session book book.epub",
        "hip chat --quiet lease.pdf < questions.txt",
    ),
)(chat)
app.command(epilog=_examples("hip extract --pages 1-3 book.pdf", "hip extract --json docs/"))(extract)
app.add_typer(models, name="models")
app.add_typer(cache, name="cache")
app.command()(doctor)
app.add_typer(bench, name="bench")
app.command(
    short_help="Measure what a model loses under sparse attention.",
    epilog=_examples(
        "hip eval needle --context 8k,16k book.txt",
        "hip eval perplexity -a dense -a hip:top_k=2048 -a streaming book.txt",
        "hip eval qa --results results.jsonl questions.jsonl",
    ),
)(eval)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hip {__version__}")
        raise typer.Exit


@app.callback(
    epilog=_examples(
        "hip summarize book.pdf",
        'hip ask -q "Who pays for repairs?" lease.pdf annex/',
        "git diff main | hip summarize -",
        "hip summarize --dry-run book.pdf",
    )
)
def root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            envvar="HIPCLI_CONFIG",
            help="Read settings from FILE instead of the usual place.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", metavar="", callback=_print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Summarize and question whole documents with a local model. They are read in one prompt, with HiP sparse
    attention. Nothing is cut off silently, and nothing leaves this machine.
    """
    commands = {command.callback.__name__: command.callback for command in app.registered_commands if command.callback}
    settings = {name: config_file.settings_of(callback) for name, callback in commands.items()}
    ctx.default_map = config_file.load(config, settings)
