"""OpenDocument spreadsheets (ods) to text, a page for each sheet, with values as the file shows them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.office.grid import Grid
from hipcli.documents.readers.office.number_format import general
from hipcli.documents.readers.office.numerals import integer
from hipcli.documents.readers.office.ooxml import count
from hipcli.documents.readers.office.open_document import OpenPackage, OpenText, Styles
from hipcli.documents.readers.office.xml_package import find_all

_CELLS = ("table:table-cell", "table:covered-table-cell")
_PARTS = ("style:style", "table:shapes", "table:table-column", "table:table-row", "table:table")
_MOST_REPEATED = 1000  # a row or cell with text


@dataclass
class _Sheet:
    row: int = 0
    column: int = 0
    hidden_columns: list[range] = field(default_factory=list)
    has_hidden_row: bool = False
    lines: list[str] = field(default_factory=list)


@dataclass
class _Book:
    grid: Grid
    text: OpenText
    styles: Styles
    pages: list[Page] = field(default_factory=list)
    hidden_sheets: list[int] = field(default_factory=list)
    hidden_cells: list[int] = field(default_factory=list)
    formulas: int = 0
    repeated: int = 0


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The sheets in `data`. Raises HipError where the file is damaged or protected; `where` names it."""
    package = OpenPackage(data, where, options)
    styles = package.styles()
    book = _Book(Grid(where, options), OpenText(package, styles, options.hidden, chart_values=False), styles)
    try:
        _read(book, package)
    except RecursionError as error:
        raise package.damaged("it is nested too deep") from error
    return Content(
        kind="ods",
        reader="hip",
        unit="sheet",
        pages=tuple(book.pages),
        warnings=(*_warnings(book), *book.text.warnings()),
        dropped=tuple(book.text.dropped()),
        members=tuple(book.text.members),
    )


def _read(book: _Book, package: OpenPackage) -> None:
    sheet = _Sheet()
    for element in package.stream("content.xml", _PARTS):
        if element.tag == "style:style":
            book.styles.add(_copy(element))
        elif element.tag == "table:shapes":
            sheet.lines += [block.text for block in book.text.blocks(element)]
        elif element.tag == "table:table-column":
            repeated = integer(element.get("table:number-columns-repeated"), 1)
            if _is_hidden(element):
                sheet.hidden_columns.append(range(sheet.column, sheet.column + repeated))
            sheet.column += repeated
        elif element.tag == "table:table-row":
            _read_row(book, sheet, element)
        else:
            _end_sheet(book, sheet, element)
            sheet = _Sheet()


def _copy(element: Element) -> Element:
    """The element with its children, which the stream empties."""
    copy = Element(element.tag, element.attrib)
    copy.extend([Element(child.tag, child.attrib) for child in element])
    return copy


def _is_hidden(element: Element) -> bool:
    return element.get("table:visibility", "visible") != "visible"


def _end_sheet(book: _Book, sheet: _Sheet, table: Element) -> None:
    number = len(book.pages) + 1
    if book.styles.property(table.get("table:style-name"), "table:display") == "false":
        book.hidden_sheets.append(number)
    columns = {column for cells in book.grid.rows.values() for column in cells}
    if sheet.has_hidden_row or any(column in hidden for column in columns for hidden in sheet.hidden_columns):
        book.hidden_cells.append(number)
    lines = [*book.grid.take_lines(), *sheet.lines]
    book.pages.append(Page(number, "\n".join(lines).strip("\n"), table.get("table:name")))


def _read_row(book: _Book, sheet: _Sheet, element: Element) -> None:
    column = 0
    texts: dict[int, str] = {}
    for cell in element:
        if cell.tag not in _CELLS:
            continue
        repeated = integer(cell.get("table:number-columns-repeated"), 1)
        text = _cell(book, sheet, cell)
        if text:
            book.repeated += max(0, repeated - _MOST_REPEATED)
            texts.update((column + offset, text) for offset in range(min(repeated, _MOST_REPEATED)))
        column += repeated
    rows = integer(element.get("table:number-rows-repeated"), 1)
    if texts:
        book.repeated += max(0, rows - _MOST_REPEATED)
        sheet.has_hidden_row = sheet.has_hidden_row or _is_hidden(element)
        for row in range(sheet.row, sheet.row + min(rows, _MOST_REPEATED)):
            for position, text in texts.items():
                book.grid.put(row, position, text)
    sheet.row += rows


def _cell(book: _Book, sheet: _Sheet, cell: Element) -> str:
    text = "\n".join(map(book.text.inline, find_all(cell, "text:p")))
    for child in cell:
        if child.tag == "office:annotation" or child.tag.startswith("draw:"):
            holder = Element("holder")
            holder.append(child)
            text += "".join(f" {block.text}" for block in book.text.blocks(holder))
    sheet.lines += [block.text for block in book.text.take_frames()]
    if text.strip():
        return text
    for name in ("office:string-value", "office:date-value", "office:time-value", "office:boolean-value"):
        if cell.get(name):
            return cell.get(name, "")
    value = cell.get("office:value")
    if value is not None:
        try:
            return general(float(value))
        except (ValueError, OverflowError):
            return value
    if cell.get("table:formula") and cell.get("office:value-type") != "string":
        book.formulas += 1
        return cell.get("table:formula", "").partition(":")[2] or cell.get("table:formula", "")
    return ""


def _warnings(book: _Book) -> Iterator[str]:
    if book.hidden_sheets:
        yield f"hidden sheets were read: {format_page_ranges(book.hidden_sheets)}."
    if book.hidden_cells:
        yield f"hidden rows or columns were read, of sheets: {format_page_ranges(book.hidden_cells)}."
    if book.formulas:
        formulas = count(book.formulas, "formula has", "formulas have")
        yield f"{formulas} no stored value and read as written: open and save the file in a spreadsheet program."
    if book.repeated:
        yield f"cells or rows that repeat were read {_MOST_REPEATED} times; {book.repeated} repetitions were not read."
