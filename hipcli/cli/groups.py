"""Options in the groups that commands take them in, each declared once."""

from dataclasses import dataclass
from typing import Annotated

import typer

from hipcli.cli import options as o
from hipcli.cli.attention import AttentionOptions
from hipcli.cli.evidence import EvidenceOptions
from hipcli.cli.flatten import Group
from hipcli.documents.options import Ocr, ReadOptions
from hipcli.models.resolve import DEFAULT_MODEL

READING = ReadOptions()


@dataclass(frozen=True, kw_only=True)
class InputOptions(Group):
    """What to read."""

    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Files, directories, or - for standard input.", show_default=False),
    ] = None
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            metavar="GLOB",
            help="In directories, read only matching files. Repeatable.",
            rich_help_panel=o.INPUT,
            show_default=False,
        ),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="GLOB",
            help="In directories, skip matching files. Repeatable.",
            rich_help_panel=o.INPUT,
            show_default=False,
        ),
    ] = None
    no_gitignore: Annotated[
        bool,
        typer.Option(
            "--no-gitignore",
            metavar="",
            help="In directories, read what .gitignore excludes too.",
            rich_help_panel=o.INPUT,
        ),
    ] = False
    links: Annotated[
        bool,
        typer.Option(
            "--links",
            metavar="",
            help="In directories, follow links, each file once.",
            rich_help_panel=o.INPUT,
        ),
    ] = False
    pages: Annotated[
        str | None,
        typer.Option(
            "--pages",
            metavar="RANGES",
            help="Pages of a PDF to read, such as 3-40,77.",
            rich_help_panel=o.INPUT,
            show_default=False,
        ),
    ] = None
    password: Annotated[
        str | None,
        typer.Option(
            "--password",
            metavar="TEXT",
            help="Password of encrypted PDFs.",
            envvar="HIPCLI_PASSWORD",
            rich_help_panel=o.INPUT,
            show_default=False,
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            "--encoding",
            metavar="NAME",
            help="Encoding of text files, where it is not found by itself.",
            rich_help_panel=o.INPUT,
            show_default=False,
        ),
    ] = None
    ocr: Annotated[
        Ocr,
        typer.Option(
            "--ocr",
            help="Recognise text in scans: where there is no text (auto), never (off), or everywhere (force).",
            rich_help_panel=o.INPUT,
        ),
    ] = "auto"
    keep_running_lines: Annotated[
        bool,
        typer.Option(
            "--keep-running-lines",
            metavar="",
            help="Read page numbers and the titles at the head and foot of PDF pages, too.",
            rich_help_panel=o.INPUT,
        ),
    ] = False
    hidden: Annotated[
        bool,
        typer.Option(
            "--hidden",
            metavar="",
            help="Read text that a viewer of the PDF does not show, too.",
            rich_help_panel=o.INPUT,
        ),
    ] = False
    read_seconds: Annotated[
        float,
        typer.Option(
            "--read-seconds",
            metavar="SECONDS",
            min=0.1,
            max=86_400,
            help="Longest time to read a document, or a page where text is recognised.",
            rich_help_panel=o.INPUT,
        ),
    ] = READING.seconds
    read_memory: Annotated[
        float,
        typer.Option(
            "--read-memory",
            metavar="GIB",
            min=0.125,
            max=1024,
            help="Most memory to read a document.",
            rich_help_panel=o.INPUT,
        ),
    ] = READING.memory / 1024


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Group):
    """Which model, and where and how it is computed."""

    name: o.ModelName = DEFAULT_MODEL
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="NAME",
            help="auto, cpu, cuda or cuda:N.",
            envvar="HIPCLI_DEVICE",
            rich_help_panel=o.MODEL,
        ),
    ] = "auto"
    dtype: Annotated[
        o.Dtype,
        typer.Option("--dtype", help="Number format of the weights.", envvar="HIPCLI_DTYPE", rich_help_panel=o.MODEL),
    ] = "auto"


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(Group):
    """How the next token is chosen."""

    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            "-t",
            min=0,
            max=100,
            metavar="NUMBER",
            help="0 always takes the likeliest token.",
            envvar="HIPCLI_TEMPERATURE",
            rich_help_panel=o.SAMPLING,
        ),
    ] = 0.0
    top_p: Annotated[
        float,
        typer.Option(
            "--top-p",
            metavar="NUMBER",
            min=0,
            max=1,
            help="Sample among the likeliest tokens of this total probability.",
            envvar="HIPCLI_TOP_P",
            rich_help_panel=o.SAMPLING,
        ),
    ] = 1.0
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="NUMBER",
            min=0,
            max=2**63 - 1,
            help="Make sampling repeatable.",
            envvar="HIPCLI_SEED",
            rich_help_panel=o.SAMPLING,
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Group):
    """What is printed, and where."""

    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens",
            "-n",
            min=1,
            metavar="TOKENS",
            help="Longest answer.",
            envvar="HIPCLI_MAX_TOKENS",
            rich_help_panel=o.OUTPUT,
        ),
    ] = o.ANSWER_TOKENS
    as_json: o.AsJson = False
    jsonl: o.JsonLines = False
    resume: o.Resume = False
    file: o.OutputFile = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            metavar="",
            help="Count tokens and memory, say whether it fits, and stop.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            metavar="",
            help="Print statistics, and what the libraries say.",
            rich_help_panel=o.MESSAGES,
        ),
    ] = False
    quiet: o.Quiet = False


@dataclass(frozen=True, kw_only=True)
class RunOptions(Group):
    """All that `summarize` and `ask` have in common but the prompt, whose default differs."""

    input: InputOptions
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            metavar="NAME",
            help="Keep what the model read of these documents under NAME, and take it from there in later runs.",
            rich_help_panel=o.INPUT,
            show_default=False,
        ),
    ] = None
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="KEY=VALUE",
            help="Value for a parameter of the prompt. Repeatable.",
            rich_help_panel=o.PROMPT,
            show_default=False,
        ),
    ] = None
    model: ModelOptions
    attention: AttentionOptions
    sampling: SamplingOptions
    evidence: EvidenceOptions
    output: OutputOptions
