"""`hip extract`: print the text hip would read. Needs no model."""

from typing import Annotated, Any

import typer

from hipcli.cli.flatten import flattened
from hipcli.cli.groups import InputOptions
from hipcli.documents.document import Document

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.", show_default=False)]


@flattened
def extract(options: InputOptions, as_json: Json = False) -> None:
    """Print the text hip would read. No model needed."""
    from hipcli.cli.settings import read_options
    from hipcli.documents.inputs import default_paths, read_documents, standard_input
    from hipcli.errors import ExitCode, HipError
    from hipcli.output.answers import Output, write_json
    from hipcli.output.messages import report, warn

    reading = read_options(options)
    stdin = standard_input()
    documents: list[Document] = []
    failed = False
    for result in read_documents(default_paths(options.paths, stdin), reading, stdin):
        if isinstance(result, HipError):
            failed = True
            report(result)
            continue
        documents.append(result)
        for warning in result.warnings:
            warn(f"{result.path}: {warning}")
    if documents:
        with Output() as output:
            if as_json:
                write_json(output, _as_json(documents))
            else:
                output.write(_as_text(documents))
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _as_text(documents: list[Document]) -> str:
    from hipcli.output.messages import one_line
    from hipcli.prompt.templates import marked_text

    parts = []
    for document in documents:
        if len(documents) > 1:
            parts.append(f"==> {one_line(document.path)} <==\n")
        text = marked_text(document)
        parts.append(text if text.endswith("\n") else f"{text}\n")
    return "".join(parts)


def _as_json(documents: list[Document]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "command": "extract",
        "documents": [
            {
                "path": document.path,
                "kind": document.kind,
                "sha256": document.sha256,
                "characters": document.characters,
                "warnings": list(document.warnings),
                "pages": [{"number": page.number, "label": page.label, "text": page.text} for page in document.pages],
            }
            for document in documents
        ],
    }
