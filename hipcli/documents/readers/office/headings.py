"""Paragraphs to sections: one for each heading, with the notes to its text at its end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hipcli.documents.readers.office.sections import Section

# A longer paragraph in the style of a heading is none.
_LONGEST_HEADING = 200


@dataclass(frozen=True)
class Block:
    """A paragraph or a row of a table; `level` is that of a heading, 0 for the document's title."""

    text: str
    level: int | None = None


def by_heading(
    blocks: Iterable[Block], notes: list[str], headers: Sequence[str] = (), footers: Sequence[str] = ()
) -> list[Section]:
    """The sections of a document. `notes` grows while `blocks` are read, and is emptied into the sections."""
    sections: list[tuple[str | None, list[str]]] = [(None, list(headers))]

    def take_notes() -> None:
        sections[-1][1].extend(notes)
        notes.clear()

    for block in blocks:
        heading = " ".join(block.text.split())
        if block.level is not None and 0 < len(heading) <= _LONGEST_HEADING:
            take_notes()
            sections.append((heading, []))
        else:
            sections[-1][1].append(block.text)
    take_notes()
    sections[-1][1].extend(footers)
    if len(sections) > 1 and not sections[0][1]:
        del sections[0]
    if not any(lines for _, lines in sections):
        return [(None, [title or "" for title, _ in sections])]
    return list(sections)
