"""Titled pieces of text to pages."""

from collections.abc import Sequence

from hipcli.documents.document import Page

Section = tuple[str | None, Sequence[str]]  # a title and lines


def to_pages(sections: Sequence[Section]) -> tuple[Page, ...]:
    """A page for each section, with its title as label. Where all text is in titles, these become the text."""
    if not any(line.strip() for _, lines in sections for line in lines):
        sections = [(None, [title or ""]) for title, _ in sections]
    return tuple(Page(number, "\n".join(lines).strip("\n"), title) for number, (title, lines) in enumerate(sections, 1))
