"""From a prompt and the attention of its answer to the passages that the answer rests on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hipcli.documents.document import Document
from hipcli.errors import HipError
from hipcli.evidence.reference import Evidence
from hipcli.evidence.sources import excess, heat, sources
from hipcli.evidence.token_spans import TokenSpans
from hipcli.prompt.templates import Prompt
from hipcli.prompt.tokens import PromptEncoder

if TYPE_CHECKING:
    from hipcli.engine.watch import Masses, Watch

OTHER = "Xylophone?"  # a question that begins and ends like no other


class Seeker:
    """Finds what answers about `documents`, which stand in a prompt as `text`, rest on.

    Raises HipError where the prompt's template changes the text, or the tokenizer does not say where its tokens stand.
    """

    def __init__(self, encoder: PromptEncoder, prompt: Prompt, text: str, documents: Sequence[Document]) -> None:
        self._encoder = encoder
        self._prompt = prompt
        self._documents = documents
        self._of_tokens = TokenSpans(encoder, text, documents)

    def watch(self, suffix: Sequence[int], other: Sequence[int] | None = None) -> "Watch":
        """What to look at while a question is answered whose tokens are `suffix`.

        `other` are those of the question OTHER, by default where it is the first; for a task that asks nothing of its
        own they are the same.
        """
        from hipcli.engine.watch import Watch

        spans = (*self._of_tokens.spans, *self._of_tokens.page_spans)
        if other is None:
            other = self._encoder.suffix(self._prompt.question(self._documents, OTHER))
        if list(suffix) == list(other):
            closing = self._encoder.closing
            return Watch(spans, len(suffix) - closing, closing)
        instruction = _alike(suffix, other)
        return Watch(spans, instruction, min(len(suffix) - instruction, _alike(suffix[::-1], other[::-1])))

    def evidence(self, masses: "Masses", count: int) -> Evidence:
        """The best `count` passages by the attention of an answer, or of a question that is not answered."""
        mass = sum(masses.asking, start=masses.instruction * 0) / max(1, len(masses.asking))
        if not bool(mass.isfinite().all() and masses.instruction.isfinite().all()):
            raise HipError("the attention of the answer cannot be summed: it is not finite", "leave out --sources")
        scores, mean = excess(mass, masses.instruction), mass.mean(0)
        found = self._of_tokens
        tokens = [stop - start for start, stop in (*found.spans, *found.page_spans)]
        first = len(found.spans)
        return Evidence(
            sources=sources(found.passages, tokens[:first], scores[:first], mean[:first], count),
            heat=heat([(page.document, page.page) for page in found.pages], tokens[first:], scores[first:]),
        )


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts have in common at their beginning."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
