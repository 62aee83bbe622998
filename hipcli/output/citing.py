"""Numbers behind the quotes of an answer while it is written, and the references that they lead to."""

from collections.abc import Sequence

from hipcli.documents.document import Document
from hipcli.evidence.citations import Citer, counted, pages_of
from hipcli.evidence.quotes import Quote
from hipcli.evidence.reference import Citation
from hipcli.output.answers import AnswerWriter, Output
from hipcli.output.messages import one_line
from hipcli.output.places import place

_SHOWN = 300  # characters of a quote or a passage


class CitingWriter(AnswerWriter):
    """An AnswerWriter that writes [1] behind the first quote that counts as a citation, and so on.

    The numbers are no part of `text`.
    """

    def __init__(self, output: Output | None, title: str | None) -> None:
        super().__init__(output, title)
        self._answer = ""
        self._numbers: dict[int, int] = {}  # of quotes, by where they begin

    def write(self, text: str) -> None:
        """Add a piece of the answer."""
        if not self._answer:
            text = text.lstrip()
        done = len(self._answer)
        self._answer += text
        for quote in counted(self._answer):
            if quote.in_marks and quote.start not in self._numbers and self._is_over(quote) and quote.stop > done - 1:
                cut = max(quote.stop, done)
                super().write(self._answer[done:cut])
                self._numbers[quote.start] = len(self._numbers) + 1
                self.mark(f" [{self._numbers[quote.start]}]")
                done = cut
        super().write(self._answer[done:])

    def cited(self, citer: Citer) -> tuple[Citation, ...]:
        """The citations of the whole answer in the order of their numbers; those without one come last."""
        found = counted(self._answer)
        order = sorted(found, key=lambda quote: self._numbers.get(quote.start, len(found) + 1))
        return tuple(citer.citation(quote) for quote in order)

    def _is_over(self, quote: Quote) -> bool:
        """Whether the quote cannot grow: a block does with the next line."""
        return quote.stop < len(self._answer) or not self._answer[quote.start :].startswith(">")


def reference_lines(citations: Sequence[Citation], documents: Sequence[Document]) -> str:
    """The citations of an answer as a list for people."""
    if not citations:
        return "References: the answer quotes nothing and names no page.\n"
    lines = ["References:"]
    for number, citation in enumerate(citations, 1):
        lines.append(f'[{number}] "{_shown(citation.quote)}"')
        lines.append(f"    {_found(citation, documents)}")
    return "\n".join(lines) + "\n"


def _found(citation: Citation, documents: Sequence[Document]) -> str:
    passage = citation.passage
    if passage is None:
        return verdict(citation)
    found = f"{verdict(citation)}: {place(passage, documents)}"
    if named := named_elsewhere(citation, documents):
        found += f" (the answer says {named})"
    return found if citation.score == 1.0 else f"{found}\n    {_shown(passage.text)}"


def verdict(citation: Citation) -> str:
    """Whether a quote was found."""
    if citation.passage is None:
        return "not found in the documents"
    if citation.verified:
        return "verified"
    return "not verified, " + (
        "too short to prove anything" if citation.score == 1.0 else f"best match {citation.score:.0%}"
    )


def named_elsewhere(citation: Citation, documents: Sequence[Document]) -> str | None:
    """The page that the answer names for a quote, where the quote does not stand on it."""
    found = citation.passage
    if citation.cited is None or (found and (found.document, found.page) in pages_of(citation.cited, documents)):
        return None
    return one_line(citation.cited)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."
