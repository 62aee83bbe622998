"""The reading report: what became of every file that was named or found, as messages, as lines and as JSON."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, BinaryIO

from hipcli.documents.document import Document, Skipped
from hipcli.documents.inputs import read_documents
from hipcli.documents.options import ReadOptions
from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.reading import ReadingError, Result
from hipcli.output import messages


class ReadingReport:
    """Reads documents, tells on standard error what is not read or may be wrong, and keeps it all in `items`.

    `passed_over` are the paths of hidden and ignored files and folders, of which there may be very many.
    """

    def __init__(self) -> None:
        self.items: list[Result] = []
        self.passed_over: list[str] = []

    @property
    def failed(self) -> bool:
        """Whether there is a document that could not be read."""
        return any(isinstance(item, ReadingError) for item in self.items)

    def read(self, paths: list[str], options: ReadOptions, stdin: BinaryIO) -> Generator[Document]:
        """The documents that can be read, as they come."""
        with closing(read_documents(paths, options, stdin)) as results:
            for item in results:
                if isinstance(item, Skipped) and item.quiet:
                    self.passed_over.append(item.path)
                    continue
                self.items.append(item)
                _tell(item)
                if isinstance(item, Document):
                    yield item
        if self.passed_over:
            messages.say(f"hip: {len(self.passed_over):,} hidden or ignored files and folders were not looked at")

    def rearrange(self, documents: Sequence[Document]) -> None:
        """Take `documents`, which are those that were read, in this order."""
        following = iter(documents)
        self.items = [next(following) if isinstance(item, Document) else item for item in self.items]

    def lines(self) -> Iterator[str]:
        """One line for each file."""
        return (messages.one_line(_line(item)) for item in self.items)

    def as_json(self) -> dict[str, list[Any]]:
        """`documents`, one object for each file, all with the same keys; and `passed_over`."""
        return {"documents": [_as_json(item) for item in self.items], "passed_over": self.passed_over}


def _tell(item: Result) -> None:
    if isinstance(item, ReadingError):
        messages.report(item)
    elif isinstance(item, Skipped):
        messages.warn(f"{item.path}: not read: {item.reason}")
    else:
        for warning in item.warnings:
            messages.warn(f"{item.path}: {warning}")
        for sentence in item.dropped:
            messages.say(f"hip: {item.path}: {sentence}")


def _line(item: Result) -> str:
    if isinstance(item, ReadingError):
        return f"failed: {item.message}"
    if isinstance(item, Skipped):
        return f"not read: {item.path}: {item.reason}"
    divided = messages.counted(len(item.pages), item.unit) if item.unit else None
    facts = [item.kind, divided, f"{item.characters:,} characters"]
    if item.encoding is not None:
        facts.append(f"{item.encoding.name} ({item.encoding.how})")
    facts.append(f"by {item.reader}")
    if item.recognised:
        facts.append(f"recognised: {format_page_ranges(item.recognised)}")
    facts += [*item.warnings, *item.dropped]
    return f"read: {item.path}: " + "; ".join(fact.removesuffix(".") for fact in facts if fact)


def _as_json(item: Result) -> dict[str, Any]:
    document = item if isinstance(item, Document) else None
    return {
        "path": item.path,
        "status": "read" if document else "failed" if isinstance(item, ReadingError) else "skipped",
        "reason": _reason(item),
        "kind": document and document.kind,
        "sha256": document and document.sha256,
        "reader": document and document.reader,
        "encoding": document and document.encoding and vars(document.encoding),
        "unit": document and document.unit,
        "pages": len(document.pages) if document and document.unit else None,
        "characters": document.characters if document else 0,
        "recognised": document.recognised if document else [],
        "warnings": list(document.warnings) if document else [],
        "dropped": list(document.dropped) if document else [],
    }


def _reason(item: Result) -> str | None:
    if isinstance(item, ReadingError):
        return item.message.removeprefix(f"{item.path}: ")
    return item.reason if isinstance(item, Skipped) else None
