"""Elements of HTML that stand on lines of their own: headings, quotations, lists, tables."""

from functools import partial

from selectolax.lexbor import LexborNode

from hipcli.documents.readers.office.numerals import integer
from hipcli.documents.readers.web.html_elements import Attributes, item_marks
from hipcli.documents.readers.web.html_rendering import Enter, Leave, Rendering, around
from hipcli.documents.readers.web.html_tables import Table

_MOST_NESTED_TABLES = 8  # cells further in are lines, so that text is not copied from cell to cell without end


def _heading(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    if to.titles is not None or to.outer:
        return around(to.out.block, lambda: to.out.block())
    to.push()
    to.headings += 1
    return partial(_leave_heading, to)


def _leave_heading(to: Rendering) -> None:
    to.headings -= 1
    title = " ".join(to.pop().split())
    if title:
        to.begin_section(title)


def _preformatted(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.out.block()
    to.verbatim += 1
    return partial(_leave_preformatted, to)


def _leave_preformatted(to: Rendering) -> None:
    to.verbatim -= 1
    to.out.block()


def _quotation(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.out.block()
    return _indented(to, "> ", "> ", to.out.block)


def _description(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.out.line()
    return _indented(to, "  ", "  ", to.out.line)


def _indented(to: Rendering, first: str, rest: str, after: Leave) -> Leave:
    to.out.indent(first, rest)
    breaks = 2 if after == to.out.block else 1

    def leave() -> None:
        to.out.dedent()
        to.out.line(breaks)

    return leave


def _list(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    breaks = 1 if to.lists else 2
    to.out.line(breaks)
    to.lists.append(item_marks(node))

    def leave() -> None:
        to.lists.pop()
        to.out.line(breaks)

    return leave


def _item(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.out.line()
    if "value" in attributes and to.lists:
        to.lists[-1] = item_marks(node.parent, integer(attributes["value"], 1))
    mark = next(to.lists[-1]) if to.lists else "- "
    return _indented(to, mark, " " * min(len(mark), 4), to.out.line)


def _break(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.out.newline()
    return None


def _table(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.out.block()
    to.tables.append(Table())
    return partial(_leave_table, to)


def _leave_table(to: Rendering) -> None:
    to.tables.pop()
    to.out.block()


def _row(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.out.line()
    return partial(_leave_row, to)


def _leave_row(to: Rendering) -> None:
    if to.tables:
        for block in to.tables[-1].end_row():
            to.out.line()
            to.out.add_lines(block)
    to.out.line()


def _cell(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    if not 0 < len(to.tables) <= _MOST_NESTED_TABLES:
        return around(to.out.line, lambda: to.out.line())
    to.push()
    columns, rows = integer(attributes.get("colspan"), 1), integer(attributes.get("rowspan"), 1)
    return partial(_leave_cell, to, columns, rows)


def _leave_cell(to: Rendering, columns: int, rows: int) -> None:
    to.tables[-1].add_cell(to.pop(), columns, rows)


BLOCKS: dict[str, Enter] = {
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), _heading),
    **dict.fromkeys(("menu", "ol", "ul"), _list),
    **dict.fromkeys(("pre", "textarea"), _preformatted),
    **dict.fromkeys(("td", "th"), _cell),
    "blockquote": _quotation,
    "br": _break,
    "dd": _description,
    "li": _item,
    "table": _table,
    "tr": _row,
}
