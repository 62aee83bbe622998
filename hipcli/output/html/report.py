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
from hipcli.output.html.pages import Pages
from hipcli.output.messages import counted, one_line
from hipcli.output.places import name_of, page_name, place
from hipcli.output.printable import printable
from hipcli.output.result import Answer, Result

_LEVELS = 10
_HOTTEST = 8.0  # times the mean: as hot as can be shown


def report(result: Result) -> str:
    """The page."""
    folder = resources.files("hipcli.output") / "html"
    style = (folder / "report.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string((folder / "report.jinja").read_text(encoding="utf-8"))
    pages = Pages()
    answers = [_answer(number, answer, result, pages) for number, answer in enumerate(result.answers, 1)]
    documents = [
        {**document, "path": printable(document["path"]), "notes": list(map(printable, _notes(document)))}
        for document in result.reading["documents"]
    ]
    read = sum(document["status"] == "read" for document in documents)
    return template.render(
        title=printable(one_line(_title(result))),
        command=result.command,
        facts=printable(f"{counted(read, 'document')} read in one prompt by {result.model}"),
        style=Markup(style),
        style_hash="sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        answers=answers,
        pages=pages.shown(),
        documents=documents,
        passed_over=len(result.reading["passed_over"]),
    )


def _title(result: Result) -> str:
    if len(result.answers) == 1 and result.answers[0].question is not None:
        return result.answers[0].question
    names = [document["path"] for document in result.reading["documents"] if document["status"] == "read"]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _answer(number: int, answer: Answer, result: Result, pages: Pages) -> dict[str, Any]:
    name = f"a{number}"
    evidence = answer.evidence
    references = [
        _reference(f"{name}-q{index}", index, citation, answer, pages)
        for index, citation in enumerate(evidence.citations or (), 1)
    ]
    sources = [
        {
            **_found(f"{name}-s{index}", index, source.passage, answer, pages),
            "quote": None,
            "state": "",
            "verdict": f"{source.score:.1%}",
        }
        for index, source in enumerate(evidence.sources or (), 1)
    ]
    about = None if answer.document is None else answer.documents[0]
    title = answer.question or (name_of(about) if about else "Summary")
    return {
        "id": name,
        "title": printable(one_line(title)),
        "pieces": _pieces(answer.text, evidence.citations or ()),
        "note": None if answer.fault is None else printable(f"This is no answer: {answer.fault}"),
        "references": references,
        "sources": sources,
        "strips": _strips(name, answer, pages),
    }


def _pieces(text: str, citations: Sequence[Citation]) -> list[dict[str, Any]]:
    """The answer in pieces, each but the last with the number of the citation that it ends with."""
    ends: list[tuple[int, int]] = []
    found = {quote.text: quote.stop for quote in reversed(quotes(text))}
    for number, citation in enumerate(citations, 1):
        if citation.quote in found:
            ends.append((found[citation.quote], number))
    pieces: list[dict[str, Any]] = []
    done = 0
    for stop, number in sorted(ends):
        pieces.append({"text": printable(text[done:stop]), "number": number})
        done = stop
    return [*pieces, {"text": printable(text[done:]), "number": None}]


def _reference(name: str, number: int, citation: Citation, answer: Answer, pages: Pages) -> dict[str, Any]:
    found = (
        _found(name, number, citation.passage, answer, pages)
        if citation.passage
        else {"id": name, "number": number, "href": None, "place": None, "passage": None}
    )
    if citation.verified:
        verdict = "verified"
    elif citation.passage is None:
        verdict = "not found in the documents"
    elif citation.score == 1.0:
        verdict = "not verified, too short to prove anything"
    else:
        verdict = f"not verified, best match {citation.score:.0%}"
    if citation.cited:
        verdict += f" (the answer names {citation.cited})"
    state = "good" if citation.verified else "bad"
    return {**found, "quote": printable(citation.quote), "state": state, "verdict": printable(one_line(verdict))}


def _found(name: str, number: int, passage: Passage, answer: Answer, pages: Pages) -> dict[str, Any]:
    document = answer.documents[passage.document]
    return {
        "id": name,
        "number": number,
        "href": pages.add(answer.first + passage.document, document, passage),
        "place": printable(place(passage, answer.documents)),
        "passage": printable(passage.text),
    }


def _strips(name: str, answer: Answer, pages: Pages) -> list[dict[str, Any]]:
    """For each document with several pages, how hot each of them is."""
    strips = []
    for index, heats in enumerate(answer.evidence.heat or ()):
        document = answer.documents[index]
        if len(heats) < 2 or not any(heats):
            continue
        labels = [page_name(document, page) for page in range(len(heats))]
        cells = [
            {
                "level": round(_LEVELS * min(1.0, (heat / _HOTTEST) ** 0.5)),
                "label": printable(f"{label}: {heat:.1f}"),
                "href": pages.id_of(answer.first + index, page),
            }
            for page, (heat, label) in enumerate(zip(heats, labels, strict=True))
        ]
        strongest = sorted(range(len(heats)), key=lambda page: -heats[page])[:3]
        strips.append(
            {
                "id": f"{name}-strip{index}",
                "name": printable(name_of(document)),
                "unit": document.unit or "page",
                "cells": cells,
                "strongest": printable(", ".join(f"{labels[page]} ({heats[page]:.1f})" for page in strongest)),
                "first": printable(labels[0]),
                "last": printable(labels[-1]),
            }
        )
    return strips


def _notes(document: dict[str, Any]) -> list[str]:
    reason = [document["reason"]] if document["reason"] else []
    recognised = ["pages recognised (OCR): " + ", ".join(map(str, document["recognised"]))]
    return [*reason, *document["dropped"], *document["warnings"], *(recognised if document["recognised"] else [])]
