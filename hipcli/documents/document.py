"""What reading a file gives: a document of numbered pages. Pure data, no I/O."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Page:
    """One page of text. `number` counts from 1; `label` is what is printed on the page ("xii", "T-1"), if known."""

    number: int
    text: str
    label: str | None = None


@dataclass(frozen=True)
class Document:
    """A document as the model will read it.

    `path` is what the user typed or what was found below it ("-" for standard input); `kind` is "pdf" or "text";
    a text document has exactly one page. `sha256` is of the bytes read. `warnings` are complete one-line sentences.
    """

    path: str
    kind: str
    pages: tuple[Page, ...]
    sha256: str
    warnings: tuple[str, ...] = field(default=())

    @property
    def paged(self) -> bool:
        """Whether page numbers mean anything here, so that they are worth marking in the prompt."""
        return self.kind == "pdf"

    @property
    def characters(self) -> int:
        return sum(len(page.text) for page in self.pages)
