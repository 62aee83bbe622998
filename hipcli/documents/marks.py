"""The marks around a document's text and its pages in a prompt, and text that looks like them.

Such text gets a backslash, so that a document can neither close its own frame nor begin another page.
"""

import re

from hipcli.characters import LINE_BREAKS, UNSEEN
from hipcli.documents.document import Document, Page

UNITS = ("page", "slide", "sheet", "chapter", "section", "message")

_LONGEST_TITLE = 200
# Nobody sees these, and a model may read across them.
_ANY = rf"[\s{UNSEEN}]*"
_IN_LINE = rf"(?:(?![{LINE_BREAKS}])[\s{UNSEEN}])*"
_UNIT = "|".join(_IN_LINE.join(unit) for unit in UNITS)
_MARK = re.compile(rf"(?i)((?:\A|[{LINE_BREAKS}]){_IN_LINE})(?=[\[［]{_IN_LINE}(?:{_UNIT}){_IN_LINE}\d)")
_NAME_LINE = re.compile(rf"((?:\A|[{LINE_BREAKS}]){_IN_LINE})(?===>)")
_FRAME = re.compile(rf"(?i)([<﹤＜])(?={_ANY}(?:[/／]{_ANY})?{_ANY.join('document')}(?!\w))")


def without_marks(text: str) -> str:
    """`text` with a backslash before what looks like the mark of a page at the beginning of a line."""
    return _MARK.sub(r"\1\\", text)


def without_frame(text: str) -> str:
    """`text` with a backslash in what looks like the begin or the end of a document."""
    return _FRAME.sub(r"\1\\", text)


def without_name_lines(text: str) -> str:
    """`text` with a backslash before what looks like the line that `hip extract` prints between documents."""
    return _NAME_LINE.sub(r"\1\\", text)


def count(text: str) -> int:
    """How many places of `text` look like one or the other."""
    return sum(1 for pattern in (_MARK, _FRAME) for _ in pattern.finditer(text))


def marked_text(document: Document) -> str:
    """The document's text, with `[page N]` on a line of its own where a page begins; `[sheet N: TITLE]` and the like
    in documents that are divided otherwise.
    """
    if document.unit is None:
        return document.pages[0].text
    return "\n".join(mark_line(document.unit, page) + without_marks(page.text) for page in document.pages)


def mark_line(unit: str, page: Page) -> str:
    """The line before a page's text."""
    return f"[{_mark(unit, page)}]\n"


def _mark(unit: str, page: Page) -> str:
    """A page's mark. The label of a page proper is another number for it, any other is a title."""
    title = "" if unit == "page" or page.label is None else _title(page.label)
    return f"{unit} {page.number}: {title}" if title else f"{unit} {page.number}"


def _title(label: str) -> str:
    """A title that can end neither the line nor the mark that it stands in."""
    line = " ".join("".join(c if c.isprintable() else " " for c in label).split())
    line = line.translate({ord("["): "(", ord("]"): ")"})
    return line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 3] + "..."
