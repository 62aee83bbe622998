"""Passages of documents and where they stand, for people."""

from collections.abc import Sequence
from typing import Any

from hipcli.documents.document import Document
from hipcli.evidence.reference import Passage, SourcePassage
from hipcli.output.messages import one_line


def place(passage: Passage, documents: Sequence[Document]) -> str:
    """Where a passage stands: "book.pdf, page 12"."""
    document = documents[passage.document]
    return one_line(f"{name_of(document)}, {place_within(document, passage)}")


def place_within(document: Document, passage: Passage) -> str:
    """The page of a passage, or its line in documents without pages."""
    if document.unit is None:
        return f"line {document.pages[passage.page].text.count(chr(10), 0, passage.start) + 1:,}"
    return page_name(document, passage.page)


def name_of(document: Document) -> str:
    """What a document is called."""
    return name_of_path(document.path)


def name_of_path(path: str) -> str:
    """What a document at this path is called."""
    return "standard input" if path == "-" else path


def page_name(document: Document, index: int) -> str:
    """What a page is called: "page 12", "page xii (page 14 of the file)", "sheet 2, Budget"."""
    page, unit = document.pages[index], document.unit or "page"
    if page.label is None or page.label == str(page.number):
        return f"{unit} {page.number}"
    if unit == "page":
        return f"page {page.label} (page {page.number} of the file)"
    return f"{unit} {page.number}, {page.label}"


def passage_json(passage: Passage, documents: Sequence[Document], first: int = 0) -> dict[str, Any]:
    """A passage in JSON; the first of `documents` is the run's document `first`, counted from 0."""
    page = documents[passage.document].pages[passage.page]
    return {
        "document": f"d{first + passage.document + 1}",
        "page": page.number,
        "label": page.label,
        "start": passage.start,
        "stop": passage.stop,
        "passage": passage.text,
    }


def source_lines(sources: Sequence[SourcePassage], documents: Sequence[Document]) -> str:
    """The sources of an answer as a list for people."""
    if not sources:
        return "Sources: the answer's attention lies on no passage more than on others.\n"
    lines = ["Sources, by the answer's attention:"]
    for number, source in enumerate(sources, 1):
        lines.append(f"[{number}] {place(source.passage, documents)} ({source.score:.1%})")
        lines.append(f"    {' '.join(source.passage.text.split())}")
    return "\n".join(lines) + "\n"


def extract(sources: Sequence[SourcePassage], documents: Sequence[Document]) -> str:
    """Passages word for word, each below its place."""
    return "\n".join(f"[{place(each.passage, documents)}]\n{each.passage.text}\n" for each in sources)
