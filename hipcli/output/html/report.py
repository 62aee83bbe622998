"""What a run has found as one self-contained web page: answers, what they rest on, and what was read.

Nothing is loaded and nothing runs: the page has no script, and its policy (CSP) allows its own style alone. All text of
documents and answers is escaped by the template.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from hipcli.evidence.quotes import quotes
from hipcli.evidence.reference import Citation, Passage
from hipcli.output.citing import named_elsewhere, verdict
from hipcli.output.heatmap import HOTTEST
from hipcli.output.html.pages import Pages
from hipcli.output.html.strips import strips
from hipcli.output.html.table import rows
from hipcli.output.messages import counted, one_line
from hipcli.output.places import name_of, name_of_path, place_within
from hipcli.output.printable import printable
from hipcli.output.result import Answer, Result

_PASSED_OVER = 200  # paths that are listed


def report(result: Result) -> str:
    """The page."""
    folder = resources.files("hipcli.output") / "html"
    style = (folder / "report.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string((folder / "report.jinja").read_text(encoding="utf-8"))
    read = [name_of_path(document["path"]) for document in result.reading["documents"] if document["status"] == "read"]
    title = _title(result, read)
    pages = Pages()
    alone = len(read) == 1
    answers = [_answer(number, answer, result, alone, pages) for number, answer in enumerate(result.answers, 1)]
    return template.render(
        title=title,
        command=result.command,
        only=one_line(read[0]) if alone else None,
        read=_documents(result, len(read)),
        how="in one prompt" if alone or result.answers[0].document is None else "one by one",
        model=printable(result.model),
        style=Markup(style),
        style_hash="sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        answers=answers,
        hottest=f"{HOTTEST:.0f} or more",
        pages=pages.shown(),
        documents=rows(result),
        passed_over=len(result.reading["passed_over"]),
        passed_over_first=list(map(one_line, result.reading["passed_over"][:_PASSED_OVER])),
    )


def _documents(result: Result, read: int) -> str:
    """How many documents the answers are from."""
    answered = {answer.document for answer in result.answers}
    fewer = None not in answered and len(answered) < read
    return f"{len(answered)} of {counted(read, 'document')}" if fewer else counted(read, "document")


def _title(result: Result, read: Sequence[str]) -> dict[str, str]:
    """What the page is called, and which way that is written."""
    if len(result.answers) == 1 and result.answers[0].question is not None:
        return {"text": one_line(result.answers[0].question), "dir": "auto"}
    return {"text": one_line(read[0] if len(read) == 1 else f"{read[0]} and {len(read) - 1} more"), "dir": "ltr"}


def _answer(number: int, answer: Answer, result: Result, alone: bool, pages: Pages) -> dict[str, Any]:
    """One answer; `alone`: there is one document, whose name need not be told with every page."""
    name = f"a{number}"
    evidence = answer.evidence
    references = [
        _reference(f"{name}-q{index}", index, citation, answer, alone, pages)
        for index, citation in enumerate(evidence.citations or (), 1)
    ]
    sources = [
        {
            **_found(f"{name}-s{index}", index, source.passage, answer, alone, pages),
            "verdict": f"{source.score:.1%}",
        }
        for index, source in enumerate(evidence.sources or (), 1)
    ]
    return {
        "id": name,
        "title": _answer_title(answer, len(result.answers) == 1),
        "pieces": _pieces(answer.text, evidence.citations or ()),
        "note": None if answer.fault is None else printable(f"This is no answer: {answer.fault}"),
        "references": references,
        "sources": sources,
        "strips": strips(name, answer, alone, pages),
    }


def _answer_title(answer: Answer, single: bool) -> dict[str, str]:
    if answer.question is not None:
        return {"text": "Answer" if single else one_line(answer.question), "dir": "auto"}
    about = None if single or answer.document is None else answer.documents[0]
    return {"text": one_line(name_of(about)) if about else "Summary", "dir": "ltr"}


def _pieces(text: str, citations: Sequence[Citation]) -> list[dict[str, Any]]:
    """The answer in pieces, each but the last with the number of the citation that it ends with."""
    left = quotes(text)
    ends: list[tuple[int, int]] = []
    for number, citation in enumerate(citations, 1):
        said = (citation.quote, citation.cited)
        quote = next((quote for quote in left if (quote.text, quote.cited) == said), None)
        if quote is not None:
            left.remove(quote)
            ends.append((quote.stop, number))
    pieces: list[dict[str, Any]] = []
    done = 0
    for stop, number in sorted(ends):
        pieces.append({"text": printable(text[done:stop]), "number": number})
        done = stop
    return [*pieces, {"text": printable(text[done:]), "number": None}]


def _reference(name: str, number: int, citation: Citation, answer: Answer, alone: bool, pages: Pages) -> dict[str, Any]:
    named = named_elsewhere(citation, answer.documents)
    return {
        **_found(name, number, citation.passage, answer, alone, pages),
        "quote": printable(citation.quote),
        "state": "good" if citation.verified else "bad",
        "verdict": verdict(citation),
        "named": named,
    }


def _found(
    name: str, number: int, passage: Passage | None, answer: Answer, alone: bool, pages: Pages
) -> dict[str, Any]:
    found: dict[str, Any] = {"id": name, "number": number, "quote": None, "state": "", "named": None, "href": None}
    if passage is None:
        return found
    document = answer.documents[passage.document]
    return {
        **found,
        "href": pages.add(answer.first + passage.document, document, passage),
        "name": None if alone else one_line(name_of(document)),
        "where": one_line(place_within(document, passage)),
        "passage": printable(passage.text),
    }
