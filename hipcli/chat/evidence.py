"""What the answers of a conversation rest on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hipcli.documents.document import Document
from hipcli.engine.conversation import Turn
from hipcli.evidence.citations import Citer
from hipcli.evidence.reference import Evidence
from hipcli.evidence.seeking import OTHER, Seeker
from hipcli.prompt.templates import Prompt
from hipcli.prompt.tokens import PromptEncoder

if TYPE_CHECKING:
    from hipcli.engine.watch import Masses, Watch

SOURCES = 5


class Witness:
    """Sees what the answers about `documents` rest on, which stand in the prompt of a conversation.

    Raises HipError where the prompt's template changes the text, or the tokenizer does not say where its tokens stand.
    """

    def __init__(self, encoder: PromptEncoder, prompt: Prompt, documents: Sequence[Document]) -> None:
        self._encoder = encoder
        self._prompt = prompt
        self._documents = documents
        self._citer = Citer(documents)
        self._seeker = Seeker(encoder, prompt, prompt.documents(documents), documents)

    def watch(self, asked: Sequence[int], follows: bool) -> "Watch":
        """What to look at while a question is answered, whose tokens are `asked`, and which `follows` an answer."""
        other = self._prompt.question(self._documents, OTHER)
        return self._seeker.watch(asked, self._encoder.follow_up(other) if follows else self._encoder.suffix(other))

    def evidence(self, turn: Turn, masses: "Masses | None") -> Evidence:
        """What the answer of a turn rests on. Without `masses`, as for one of another day, its sources are unknown."""
        found = Evidence() if masses is None else self._seeker.evidence(masses, SOURCES)
        return replace(found, citations=self._citer.citations(turn.answer))
