"""`hip extract`: print the text hip would read, or a report of the reading. Needs no model."""

from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hipcli.cli.flatten import flattened
from hipcli.cli.groups import InputOptions
from hipcli.documents.document import Document
from hipcli.errors import ExitCode

if TYPE_CHECKING:
    from hipcli.output.answers import Output

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.", show_default=False)]
Report = Annotated[
    bool,
    typer.Option(
        "--report",
        help="Print a line for each file instead of its text: how it was read, what may be missing, what was left out.",
        show_default=False,
    ),
]


@flattened
def extract(options: InputOptions, report: Report = False, as_json: Json = False) -> None:
    """Print the text hip would read. No model needed."""
    from hipcli.cli.settings import read_options
    from hipcli.documents.inputs import default_paths, standard_input
    from hipcli.output.answers import Output, write_json
    from hipcli.output.reading import ReadingReport

    reading = read_options(options)
    stdin = standard_input()
    found = ReadingReport()
    documents = found.read(default_paths(options.paths, stdin), reading, stdin)
    with Output() as output, closing(documents):
        if not as_json and not report:
            _write_texts(output, documents)
        else:
            read = list(documents)
            if as_json:
                entries = found.as_json()
                if not report:
                    _add_pages(entries["documents"], read)
                write_json(output, {"schema_version": 2, "command": "extract", **entries})
            else:
                output.write("".join(f"{line}\n" for line in found.lines()))
    if found.failed:
        raise typer.Exit(ExitCode.FAILED)


def _add_pages(entries: list[dict[str, Any]], documents: list[Document]) -> None:
    """Put the pages with their text where only their number is."""
    left = iter(documents)
    for entry in entries:
        entry["pages"] = [vars(page) for page in next(left).pages] if entry["status"] == "read" else None


def _write_texts(output: "Output", documents: Iterator[Document]) -> None:
    """Write each text as soon as it is read; where there are several, below its name, which no text can imitate."""
    from hipcli.documents.marks import marked_text, without_name_lines
    from hipcli.output.messages import one_line

    first = next(documents, None)
    second = next(documents, None)
    for document in chain(filter(None, (first, second)), documents):
        text = marked_text(document)
        if second is not None:
            output.write(f"==> {one_line(document.path)} <==\n")
            text = without_name_lines(text)
        output.write(text if text.endswith("\n") else f"{text}\n")
