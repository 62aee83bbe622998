"""A conversation as Markdown."""

from collections.abc import Sequence

from hipcli.documents.document import Document
from hipcli.engine.conversation import Turn
from hipcli.output.messages import one_line


def markdown(turns: Sequence[Turn], documents: Sequence[Document], model: str) -> str:
    """Documents, model, and each question as a quotation above its answer."""
    parts = ["# A conversation", "\n".join(f"* {one_line(document.path)}" for document in documents)]
    parts.append(f"Answers by {one_line(model)}.")
    for turn in turns:
        parts.append("\n".join(f"> {line}".rstrip() for line in turn.question.splitlines()))
        parts.append(turn.answer + _how_it_ended(turn))
    return "\n\n".join(parts) + "\n"


def _how_it_ended(turn: Turn) -> str:
    return "" if turn.finish_reason == "stop" else f"\n\n*(stopped: {turn.finish_reason})*"
