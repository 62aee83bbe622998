"""What reading gives: documents divided into pages, and the files that are not read. Pure data, no I/O."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """One page of text, or whatever else the document is divided into. `number` counts from 1.

    `label` is what is printed on the page ("xii", "T-1"), or the title of a section, sheet or slide, if known.
    `recognised`: the text was recognised in a picture (OCR) and may be wrong in letters.
    """

    number: int
    text: str
    label: str | None = None
    recognised: bool = False


@dataclass(frozen=True)
class Encoding:
    """Which encoding text is in, and how that was found out: "asked for", "byte order mark", "valid", ..."""

    name: str
    how: str


@dataclass(frozen=True)
class Member:
    """A file inside a file, such as an attachment. `read` gives its bytes, or raises HipError.

    With `skipped`, it is not read, for that reason; see Skipped for `quiet`.
    """

    name: str
    read: Callable[[], bytes] = bytes
    skipped: str | None = None
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a reader makes of the bytes of a file.

    `kind` is the format, such as "pdf" or "text"; `reader` the library that read it. `unit` is what `pages` are:
    "page", "slide", "sheet", "chapter", "section", or None where the text is not divided, which makes it one page.
    `warnings` say what may be missing or wrong, `dropped` what was read and left out on purpose: complete one-line
    sentences. `members` are files inside, which are read as documents of their own; a mere container has no pages.
    """

    kind: str
    pages: tuple[Page, ...]
    reader: str
    unit: str | None = None
    encoding: Encoding | None = None
    warnings: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Document:
    """A document as the model will read it: see Content.

    `path` is what the user typed or what was found below it ("-" for standard input; "a.zip/b.pdf" inside another
    file). `sha256` is of the bytes read. `known_as` is another name that it has in prompts, if it has one.
    """

    path: str
    kind: str
    pages: tuple[Page, ...]
    sha256: str
    warnings: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    unit: str | None = None
    reader: str = ""
    encoding: Encoding | None = None
    known_as: str | None = None

    @property
    def characters(self) -> int:
        return sum(len(page.text) for page in self.pages)

    @property
    def recognised(self) -> list[int]:
        """The numbers of the pages whose text was recognised in pictures."""
        return [page.number for page in self.pages if page.recognised]


@dataclass(frozen=True)
class Skipped:
    """A file that was found, not named, and is not read; `reason` follows its name: "is binary".

    `quiet`: there may be any number of these, such as hidden and ignored files, so that messages only count them.
    """

    path: str
    reason: str
    quiet: bool = False
