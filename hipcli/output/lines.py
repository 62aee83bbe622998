"""JSON lines, one an answer as soon as it is done, and one a document that gets none (schema/line.schema.json)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hipcli.engine.events import Done
from hipcli.output.answers import Output, write_json
from hipcli.output.result import SCHEMA_VERSION, Answer, Result


class Lines:
    """Writes lines about a run to `output`. All its documents are read; what is left to do is to answer."""

    def __init__(self, output: Output, result: Result) -> None:
        self._output = output
        documents = result.documents()
        self._read = [document for document in documents if document["status"] == "read"]
        self._others = [document for document in documents if document["status"] != "read"]
        self._all = documents
        self._head = {
            "schema_version": SCHEMA_VERSION,
            "command": result.command,
            "model": result.model,
            "revision": result.revision or None,
        }

    def answer(self, key: str | None, answer: Answer, prompt_tokens: int, done: Done) -> None:
        """A line for an answer; `prompt_tokens` came before its question."""
        usage = {"prompt_tokens": prompt_tokens + done.question_tokens, "completion_tokens": done.completion_tokens}
        self._write(key, self._about(answer.document), answer.as_json(), None, usage)

    def refused(self, document: int | None, reason: str) -> None:
        """A line for a document, counted from 0 among those that were read, or all, that nothing is answered about."""
        self._write(None, self._about(document), None, reason, None)

    def unread(self) -> None:
        """A line for each document that was not read."""
        for document in self._others:
            self._write(None, [document], None, document["reason"], None)

    def _about(self, document: int | None) -> list[dict[str, Any]]:
        return self._all if document is None else [self._read[document]]

    def _write(
        self,
        key: str | None,
        documents: Sequence[dict[str, Any]],
        answer: dict[str, Any] | None,
        refused: str | None,
        usage: dict[str, int] | None,
    ) -> None:
        facts = {"key": key, "documents": documents, "answer": answer, "refused": refused, "usage": usage}
        write_json(self._output, {**self._head, **facts}, indent=None)


@dataclass(frozen=True)
class Wanted:
    """An answer that is wanted: its key, and what the documents that it is about are called."""

    key: str | None
    paths: tuple[str, ...]


def done_already(kept: Sequence[dict[str, Any]], wanted: Sequence[Wanted]) -> set[int]:
    """Which of the answers wanted, by position, are among the lines `kept`.

    A line stands for one of them: for one of documents with the same names where there is such, else for one of the
    same content under other names.
    """
    lines: dict[str | None, list[tuple[str, ...]]] = defaultdict(list)
    for line in kept:
        lines[line["key"]].append(tuple(each["path"] for each in line["documents"] if each["status"] == "read"))
    found = set()
    for by_name in (True, False):
        for position, each in enumerate(wanted):
            left = lines[each.key]
            if position in found or not left or (by_name and each.paths not in left):
                continue
            left.remove(each.paths if by_name else left[0])
            found.add(position)
    return found
