"""Which tokens of a prompt make up its pages and passages."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby

from hipcli.documents.document import Document
from hipcli.evidence.layout import Place, places
from hipcli.evidence.passages import passages
from hipcli.evidence.reference import Passage
from hipcli.prompt.tokens import PromptEncoder

Span = tuple[int, int]  # [start, stop) of token positions


class TokenSpans:
    """The passages of `documents`, and the tokens of each and of every page, in a prompt with the text `prompt`.

    Raises HipError where the prompt's template changes the text, or the tokenizer does not say where its tokens stand.
    """

    def __init__(self, encoder: PromptEncoder, prompt: str, documents: Sequence[Document]) -> None:
        self._begins = encoder.places(prompt)
        self.passages: list[Passage] = passages(documents)
        self.pages: list[Place] = places(prompt, documents)
        of_page = {(place.document, place.page): place for place in self.pages}
        self.spans: list[Span] = []
        for key, group in groupby(self.passages, key=lambda passage: (passage.document, passage.page)):
            place = of_page[key]
            self.spans += (self._span(place.at(passage.start), place.at(passage.stop)) for passage in group)
        self.page_spans: list[Span] = [self._span(place.start, place.stop) for place in self.pages]

    @property
    def stop(self) -> int:
        """The first token behind the last page."""
        return max((stop for _, stop in self.page_spans), default=0)

    def _span(self, start: int, stop: int) -> Span:
        # A token that begins before a passage and ends in it, such as a line end with a word, is the passage's as well.
        first = bisect_left(self._begins, start)
        if first < len(self._begins) and self._begins[first] > start and first:
            first -= 1
        return first, max(first, bisect_left(self._begins, stop))
