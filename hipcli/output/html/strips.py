"""Where the attention of an answer lies, page by page."""

from typing import Any

from hipcli.output.heatmap import HOTTEST
from hipcli.output.html.pages import Pages
from hipcli.output.messages import one_line
from hipcli.output.places import name_of, page_name
from hipcli.output.result import Answer

_LEVELS = 10
_STRONGEST = 3  # pages that are named


def strips(name: str, answer: Answer, alone: bool, pages: Pages) -> list[dict[str, Any]]:
    """A strip for each document with several pages, whose cells lead to those of them that are in the report.

    `name` begins their ids; `alone`: there is one document, whose name need not be told.
    """
    found = []
    for index, heats in enumerate(answer.evidence.heat or ()):
        document = answer.documents[index]
        if len(heats) < 2 or not any(heats):
            continue
        cells = [
            {
                "level": round(_LEVELS * min(1.0, (heat / HOTTEST) ** 0.5)),
                "name": one_line(page_name(document, page)),
                "heat": f"{heat:.1f}",
                "href": pages.id_of(answer.first + index, page),
            }
            for page, heat in enumerate(heats)
        ]
        strongest = sorted(range(len(heats)), key=lambda page: -heats[page])[:_STRONGEST]
        found.append(
            {
                "id": f"{name}-strip{index}",
                "name": None if alone else one_line(name_of(document)),
                "unit": document.unit or "page",
                "cells": cells,
                "strongest": [cells[page] for page in strongest if heats[page]],
            }
        )
    return found
