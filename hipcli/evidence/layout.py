"""Where the text of each page stands in a prompt."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from hipcli.documents.document import Document
from hipcli.documents.marks import mark_line, without_frame, without_marks
from hipcli.errors import ExitCode, HipError
from hipcli.prompt.templates import framed_text


@dataclass(frozen=True)
class Place:
    """A page in a prompt: its first character, and where in the page's text the prompt has a backslash more."""

    document: int
    page: int
    start: int
    added: tuple[int, ...]
    length: int  # of the page's text

    def at(self, offset: int) -> int:
        """Where the prompt has the page's character `offset`, or its end."""
        return self.start + offset + bisect_left(self.added, offset)

    @property
    def stop(self) -> int:
        """Where the page ends."""
        return self.at(self.length)


def places(prompt: str, documents: Sequence[Document]) -> list[Place]:
    """The pages of `documents`, in order, in the documents part of a prompt.

    Raises HipError, exit code 2, where the prompt's template changes their text, so that it cannot be found.
    """
    found: list[Place] = []
    cursor = 0
    for number, document in enumerate(documents):
        whole = framed_text(document)
        begin = prompt.find(whole, cursor)
        if begin < 0:
            raise HipError(
                f"{document.path}: the prompt changes its text, so that passages cannot be found in it",
                "use a template that gives {{ document.text }} as it is",
                ExitCode.USAGE,
            )
        cursor = begin
        for index, page in enumerate(document.pages):
            inert = without_frame(without_marks(page.text))
            if document.unit is not None:
                cursor += len(without_frame(mark_line(document.unit, page)))
            if not prompt.startswith(inert, cursor):
                raise RuntimeError(f"{document.path}: the prompt does not have page {page.number} where it should")
            found.append(Place(number, index, cursor, _added(page.text, inert), len(page.text)))
            cursor += len(inert) + 1
        cursor = begin + len(whole)
    return found


def _added(text: str, inert: str) -> tuple[int, ...]:
    """Where in `text` the characters stand that `inert` has a backslash before."""
    added: list[int] = []
    offset = 0
    while len(inert) > len(text) + len(added):
        while offset < len(text) and inert[offset + len(added)] == text[offset]:
            offset += 1
        added.append(offset)
    return tuple(added)
