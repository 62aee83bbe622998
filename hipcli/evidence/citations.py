"""The citations of an answer: its quotes, looked up in the documents."""

from collections.abc import Sequence

from hipcli.documents.document import Document
from hipcli.evidence.lookup import Lookup, is_evidence
from hipcli.evidence.quotes import Quote, page_number, quotes
from hipcli.evidence.reference import Citation


class Citer:
    """Looks up what answers about `documents` quote."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._lookup = Lookup(documents)

    def citations(self, answer: str) -> tuple[Citation, ...]:
        """A citation for each quote that is long enough to prove something, or that a page is named for."""
        return tuple(map(self.citation, counted(answer)))

    def citation(self, quote: Quote) -> Citation:
        """Where a quote stands, or what is most like it."""
        pages = pages_of(quote.cited, self._documents) if quote.cited else ()
        passage = self._lookup.exact(quote.text, pages)
        # A word or two stand everywhere: they prove something only on the page that is named.
        proves = is_evidence(quote.text) or (passage is not None and (passage.document, passage.page) in pages)
        if passage is not None and (proves or quote.in_marks):
            return Citation(quote.text, passage, 1.0, proves, quote.cited)
        # The words of a sentence that is no quote are the model's own: they are compared with the page it names.
        passage, score = self._lookup.alike(quote.text, () if quote.in_marks else pages)
        return Citation(quote.text, passage, min(score, 0.99), False, quote.cited)


def pages_of(cited: str, documents: Sequence[Document]) -> list[tuple[int, int]]:
    """Positions of the pages that an answer may mean by "page 12": those with that number, or that label."""
    number = page_number(cited)
    return [
        (position, index)
        for position, document in enumerate(documents)
        for index, page in enumerate(document.pages)
        if number in (str(page.number), page.label)
    ]


def counted(answer: str) -> list[Quote]:
    """The quotes of an answer that count as citations."""
    return [quote for quote in quotes(answer) if quote.cited is not None or is_evidence(quote.text)]
