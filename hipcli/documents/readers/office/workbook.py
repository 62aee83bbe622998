"""Excel workbooks (xlsx, xlsm) to text, a page for each sheet, with values as a person sees them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from hipcli.documents.document import Content, Page
from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.office.drawing_text import Drawing
from hipcli.documents.readers.office.grid import Grid
from hipcli.documents.readers.office.number_format import GENERAL, built_in, format_number
from hipcli.documents.readers.office.numerals import integer
from hipcli.documents.readers.office.ooxml import OfficePackage, count, with_address
from hipcli.documents.readers.office.printed_pages import headers_and_footers
from hipcli.documents.readers.office.xml_package import find, find_all, text_of, value

_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_ISO_DATE = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)")
_SHEETS = ("worksheet", "chartsheet", "dialogsheet")


@dataclass
class _Book:
    """What the sheets of a workbook share, and what was met on the way."""

    package: OfficePackage
    grid: Grid
    strings: list[str]
    formats: list[str]
    since_1904: bool
    people: Mapping[str, str]
    hidden_sheets: list[int] = field(default_factory=list)
    hidden_cells: list[int] = field(default_factory=list)
    formulas: int = 0
    pictures: int = 0
    names: int = 0


def read(package: OfficePackage) -> Content:
    """The sheets of a workbook in their order. Raises HipError where the file is damaged or protected."""
    try:
        return _read(package)
    except RecursionError as error:
        raise package.damaged("it is nested too deep") from error


def _read(package: OfficePackage) -> Content:
    part = package.main_part("xl/workbook.xml")
    root = package.xml(part)
    book = _Book(
        package,
        Grid(package.where, package.options),
        list(_strings(package, part)),
        _formats(package, part),
        value(root, "x:workbookPr", "date1904") in ("1", "true"),
        _people(package, part),
        names=_names(root),
    )
    relationships = package.relationships(part)
    pages, others = [], 0
    for number, sheet in enumerate(root.iter("x:sheet"), 1):
        if sheet.get("state", "visible") != "visible":
            book.hidden_sheets.append(number)
        relationship = relationships.get(sheet.get("r:id", ""))
        readable = relationship is not None and relationship.kind in _SHEETS and relationship.target in package
        lines = list(_sheet(book, number, relationship.target)) if relationship is not None and readable else []
        others += not readable
        pages.append(Page(number, "\n".join(lines).strip("\n"), sheet.get("name")))
    members, warnings = package.embedded()
    return Content(
        kind="xlsx",
        reader="hip",
        unit="sheet",
        pages=tuple(pages),
        warnings=(*warnings, *_warnings(book, others)),
        dropped=(*_dropped(book), *package.macros()),
        members=members,
    )


def _sheet(book: _Book, number: int, part: str) -> Iterator[str]:
    grid = book.grid
    row = -1
    hidden_columns: set[int] = set()
    has_hidden_row = False
    links: dict[tuple[int, int], str] = {}
    relationships = book.package.relationships(part)
    around: dict[str, list[str]] = {}
    for element in book.package.stream(part, ("x:row", "x:col", "x:hyperlink", "x:headerFooter")):
        if element.tag == "x:headerFooter":
            around = headers_and_footers(element)
        elif element.tag == "x:col":
            if element.get("hidden") in ("1", "true"):
                first, last = integer(element.get("min"), 1), integer(element.get("max"), 1)
                hidden_columns.update(range(first - 1, min(last, 16384)))
        elif element.tag == "x:hyperlink":
            target = relationships.get(element.get("r:id", ""))
            if target is not None and target.external:
                links[_position(element.get("ref", ""), (0, 0))] = target.target
        else:
            row = integer(element.get("r"), row + 2) - 1
            _read_row(book, grid, row, element)
            has_hidden_row = has_hidden_row or (element.get("hidden") in ("1", "true") and row in grid.rows)
    for (linked_row, column), address in links.items():
        text = grid.rows.get(linked_row, {}).get(column, "")
        grid.put(linked_row, column, with_address(text, address))
    if has_hidden_row or any(not hidden_columns.isdisjoint(cells) for cells in grid.rows.values()):
        book.hidden_cells.append(number)
    yield from around.get("header", ())
    yield from grid.take_lines()
    yield from _drawings(book, part)
    yield from _comments(book, part)
    yield from around.get("footer", ())


def _read_row(book: _Book, grid: Grid, row: int, element: Element) -> None:
    column = -1
    for cell in element:
        if cell.tag == "x:c":
            column = _position(cell.get("r", ""), (row, column + 1))[1]
            grid.put(row, column, _cell(book, cell))


def _cell(book: _Book, cell: Element) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _rich_text(find(cell, "x:is"))
    stored = find(cell, "x:v")
    if stored is None:
        formula = find(cell, "x:f")
        if formula is None:
            return ""
        book.formulas += 1
        return f"={formula.text or '...'}"
    text = stored.text or ""
    if kind == "s":
        index = integer(text, -1)
        return book.strings[index] if 0 <= index < len(book.strings) else ""
    if kind == "b":
        return "TRUE" if text == "1" else "FALSE"
    if kind == "d":
        return _ISO_DATE.sub(r"\1 \2", text).removesuffix(" 00:00:00")
    return _number(book, cell, text) if kind == "n" else _unescaped(text)


def _number(book: _Book, cell: Element, text: str) -> str:
    style = integer(cell.get("s"), 0)
    try:
        return format_number(
            float(text), book.formats[style] if style < len(book.formats) else GENERAL, book.since_1904
        )
    except (ValueError, OverflowError):  # not a number, or an infinite one
        return text


def _position(reference: str, default: tuple[int, int]) -> tuple[int, int]:
    """Row and column from 0 of a reference such as "B3" or "B3:C4"."""
    found = _REFERENCE.match(reference)
    if found is None:
        return default
    column = 0
    for letter in found[1]:
        column = 26 * column + ord(letter) - ord("A") + 1
    return int(found[2]) - 1, column - 1


def _rich_text(element: Element | None) -> str:
    """The text of a string, without the readings above Chinese characters."""
    parts = [child for child in (element if element is not None else ()) if child.tag in ("x:t", "x:r")]
    return _unescaped("".join(text_of(part, "x:t") for part in parts))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text).replace("\r\n", "\n") if "_x" in text else text


def _strings(package: OfficePackage, part: str) -> Iterator[str]:
    for strings in package.related(part, "sharedStrings"):
        yield from map(_rich_text, package.stream(strings, ("x:si",)))


def _formats(package: OfficePackage, part: str) -> list[str]:
    """The number format of each cell style."""
    for styles in package.related(part, "styles"):
        root = package.xml(styles)
        own = {integer(found.get("numFmtId"), 0): found.get("formatCode", "") for found in root.iter("x:numFmt")}
        identifiers = [integer(found.get("numFmtId"), 0) for found in find_all(find(root, "x:cellXfs"), "x:xf")]
        return [own.get(identifier, built_in(identifier)) for identifier in identifiers]
    return []


def _people(package: OfficePackage, part: str) -> dict[str, str]:
    return {
        person.get("id", ""): person.get("displayName", "")
        for people in package.related(part, "person")
        for person in package.xml(people).iter("threaded:person")
    }


def _comments(book: _Book, part: str) -> Iterator[str]:
    threaded = set()
    for comments in book.package.related(part, "threadedComment"):
        for comment in book.package.xml(comments).iter("threaded:threadedComment"):
            threaded.add(comment.get("ref"))
            yield _comment(comment, book.people.get(comment.get("personId", ""), ""), text_of(comment, "threaded:text"))
    for comments in book.package.related(part, "comments"):
        root = book.package.xml(comments)
        authors = [author.text or "" for author in root.iter("x:author")]
        for comment in root.iter("x:comment"):
            if comment.get("ref") not in threaded:
                index = integer(comment.get("authorId"), -1)
                author = authors[index] if 0 <= index < len(authors) else ""
                yield _comment(comment, author, _rich_text(find(comment, "x:text")))


def _comment(comment: Element, author: str, text: str) -> str:
    by = f" by {author.strip()}" if author.strip() else ""
    return f"[comment on {comment.get('ref', '')}{by}: {' '.join(text.split())}]"


def _drawings(book: _Book, part: str) -> Iterator[str]:
    for drawing_part in book.package.related(part, "drawing"):
        # The figures of charts are in the cells.
        drawing = Drawing(book.package, drawing_part, chart_values=False)
        yield from drawing.shape(book.package.xml(drawing_part))
        book.pictures += drawing.pictures


def _names(root: Element) -> int:
    """How many names the workbook's author gave to cells and values, which nobody sees among the cells."""
    return sum(
        name.get("hidden") not in ("1", "true") and not name.get("name", "").startswith("_xlnm.")
        for name in root.iter("x:definedName")
    )


def _warnings(book: _Book, others: int) -> Iterator[str]:
    if others:
        yield f"{count(others, 'sheet that is none of cells was', 'sheets that are none of cells were')} not read."
    if book.hidden_sheets:
        yield f"hidden sheets were read: {format_page_ranges(book.hidden_sheets)}."
    if book.hidden_cells:
        yield f"hidden rows or columns were read, of sheets: {format_page_ranges(book.hidden_cells)}."
    if book.formulas:
        formulas = count(book.formulas, "formula has", "formulas have")
        yield f"{formulas} no stored value and read as written: open and save the file in a spreadsheet program."
    if book.pictures:
        yield f"{count(book.pictures, 'picture was', 'pictures were')} not read."


def _dropped(book: _Book) -> Iterator[str]:
    if book.names:
        yield f"{count(book.names, 'name for cells or values was', 'names for cells or values were')} left out."
