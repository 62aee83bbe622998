"""What an answer rests on, as lines for the terminal."""

from collections.abc import Callable, Iterator, Sequence

from hipcli.documents.document import Document
from hipcli.engine.conversation import Turn
from hipcli.evidence.reference import Evidence, Passage
from hipcli.output.messages import one_line

# What a turn rests on; None where nobody knows, such as for a turn of an earlier day. It is asked for the last turn
# only, when the user wants to see it.
EvidenceOf = Callable[[Turn], Evidence | None]


def nobody_knows(turn: Turn) -> Evidence | None:
    """The EvidenceOf of a model that is not watched."""
    return None


def source_lines(evidence: Evidence, documents: Sequence[Document]) -> Iterator[str]:
    """The passages that the answer's attention lies on, numbered."""
    for number, source in enumerate(evidence.sources, 1):
        yield f"{number}. {_place(source.passage, documents)} ({source.score:.0%}): {one_line(source.passage.text)}"


def quote_lines(evidence: Evidence, documents: Sequence[Document]) -> Iterator[str]:
    """What the answer quotes, numbered, and where it stands."""
    for number, citation in enumerate(evidence.citations, 1):
        quote = f"{number}. {one_line(citation.quote)}"
        if citation.passage is None:
            yield f"{quote}: not found in the documents"
        elif citation.verified:
            yield f"{quote}: {_place(citation.passage, documents)}"
        else:
            like = f"{_place(citation.passage, documents)}: {one_line(citation.passage.text)}"
            yield f"{quote}: not found as it stands; the most alike ({citation.score:.0%}) is in {like}"


def _place(passage: Passage, documents: Sequence[Document]) -> str:
    document = documents[passage.document]
    page = document.pages[passage.page]
    where = f", {document.unit} {page.label or page.number}" if document.unit else ""
    return one_line(f"{document.path}{where}")
