"""What became of every file that was named or found, as the rows of a table."""

from typing import Any

from hipcli.documents.page_ranges import format_page_ranges
from hipcli.output.messages import counted, one_line
from hipcli.output.places import name_of_path
from hipcli.output.result import Result

_STATUS = {"failed": "failed", "skipped": "not read"}


def rows(result: Result) -> list[dict[str, Any]]:
    """A row a file. What was read and is in no answer, because its prompt does not fit, is told apart."""
    alone = {answer.document for answer in result.answers}
    found = []
    position = 0
    for document in result.reading["documents"]:
        read = document["status"] == "read"
        answered = read and (None in alone or position in alone)
        position += read
        found.append(
            {
                "path": one_line(name_of_path(document["path"])),
                "facts": _facts(document) if read else _STATUS[document["status"]],
                "bad": document["status"] == "failed" or answered != read,
                "notes": [*(["In no answer: its prompt does not fit."] if answered != read else []), *_notes(document)],
            }
        )
    return found


def _facts(document: dict[str, Any]) -> str:
    divided = [counted(document["pages"], document["unit"])] if document["unit"] else []
    facts = [document["kind"], *divided, counted(document["characters"], "character")]
    return one_line(", ".join(fact.replace(" ", "\N{NO-BREAK SPACE}") for fact in facts))


def _notes(document: dict[str, Any]) -> list[str]:
    reason = [document["reason"]] if document["reason"] else []
    pages = document["recognised"]
    recognised = [f"Recognised in pictures (OCR): {format_page_ranges(pages)}."] if pages else []
    return list(map(one_line, [*reason, *document["dropped"], *document["warnings"], *recognised]))
