"""Jupyter notebooks: the cells in order, with what they printed."""

import json
import re
from collections.abc import Iterator
from typing import Any

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.text.text import decode_text
from hipcli.documents.readers.web.html_text import read_markup
from hipcli.errors import HipError

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# The forms of an output, of which the first there is is taken. Version 3 of the format names them by the last part.
_FORMS = ("text/markdown", "text/plain", "text/latex", "text/html", "application/json")
_PICTURES = ("image/", "png", "jpeg", "svg")
_VERSION_3 = {"text": "text/plain", "html": "text/html", "latex": "text/latex", "json": "application/json"}


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The notebook in `data` as one page. Raises HipError where it is no notebook."""
    decoded = decode_text(data, where, options.encoding)
    try:
        notebook = json.loads(decoded.text)
        parts = [part for cell in _cells(notebook) for part in _parts(cell, _language(notebook))]
        pictures = sum(_pictures(cell) for cell in _cells(notebook))
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise HipError(f"{where}: is no notebook", "open it in Jupyter and save it again") from error
    unread = "A picture in it is not read." if pictures == 1 else f"{pictures:,} pictures in it are not read."
    return Content(
        kind="notebook",
        reader="notebook",
        pages=(Page(1, "\n\n".join(part.strip("\n") for part in parts if part.strip())),),
        encoding=decoded.encoding,
        warnings=(*decoded.warnings, *([unread] if pictures else [])),
    )


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    if "cells" in notebook:
        return list(notebook["cells"])
    return [cell for sheet in notebook["worksheets"] for cell in sheet.get("cells", [])]


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata", {})
    return str(metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name") or "")


def _parts(cell: dict[str, Any], language: str) -> Iterator[str]:
    """The texts of a cell: itself, and what it printed."""
    source = _joined(cell.get("source", cell.get("input", "")))
    kind = cell.get("cell_type")
    if kind == "heading":
        yield f"{'#' * int(cell.get('level', 1))} {source}"
    elif kind == "code" and source.strip():
        yield f"```{cell.get('language', language)}\n{source}\n```"
    else:
        yield source
    for output in cell.get("outputs", []):
        text = _output_text(output)
        if text.strip():
            yield f"Output:\n{text}"


def _output_text(output: dict[str, Any]) -> str:
    if output.get("output_type") in ("error", "pyerr"):
        text = _joined(output.get("traceback", [])) or f"{output.get('ename')}: {output.get('evalue')}"
    else:
        forms = _forms(output)
        form = next((form for form in _FORMS if form in forms), "")
        text = _joined(forms.get(form, output.get("text", "")))
        # A plain form like <IPython.core.display.HTML object> or Figure(640x480) stands for another.
        if text.startswith("<") and text.endswith(">") and "text/html" in forms:
            form, text = "text/html", _joined(forms["text/html"])
        if form == "text/html":
            text = "\n\n".join(section.text for section in read_markup(text, {}).sections)
    return _COLOURS.sub("", text)


def _forms(output: dict[str, Any]) -> dict[str, Any]:
    """The output by media type."""
    return output.get("data") or {_VERSION_3[key]: value for key, value in output.items() if key in _VERSION_3}


def _pictures(cell: dict[str, Any]) -> int:
    outputs = [output.get("data") or output for output in cell.get("outputs", [])]
    shown = [output for output in outputs if any(key.startswith(_PICTURES) for key in output)]
    return len(shown) + len(cell.get("attachments") or {})


def _joined(value: Any) -> str:
    """Text, which may be a list of lines; anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value) if not value or any(line.endswith("\n") for line in value) else "\n".join(value)
    return json.dumps(value, ensure_ascii=False)
