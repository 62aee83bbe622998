"""Spreadsheets to text, a page for each sheet: which format it is. Files of .xls and .xlsb are read here."""

import datetime
import io
from collections.abc import Iterator

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.office import ole, open_document_sheets, workbook
from hipcli.documents.readers.office.grid import Grid
from hipcli.documents.readers.office.number_format import general
from hipcli.documents.readers.office.ooxml import OfficePackage
from hipcli.errors import HipError, first_line

_BINARY = "xl/workbook.bin"
_NO_FORMATS = "numbers were read without their formats: what shows as 12.5% reads 0.125; comments were not read."
_ERRORS = (ValueError, OSError, OverflowError, IndexError, MemoryError)


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The sheets in `data`, a file of xlsx, xlsm, xlsb, xls or ods.

    Raises HipError where the file is damaged or protected; `where` names it.
    """
    if data.startswith(ole.MAGIC):
        return _read_with_calamine(data, where, "xls", options)
    package = OfficePackage(data, where, options)
    if "content.xml" in package:
        return open_document_sheets.read(data, where, options)
    if _BINARY in package:
        return _read_with_calamine(data, where, "xlsb", options)
    return workbook.read(package)


def _read_with_calamine(data: bytes, where: str, kind: str, options: ReadOptions) -> Content:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetVisibleEnum

    pages, hidden = [], []
    try:
        grid = Grid(where, options)
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        for number, sheet in enumerate(book.sheets_metadata, 1):
            if sheet.visible != SheetVisibleEnum.Visible:
                hidden.append(number)
            for row, cells in enumerate(book.get_sheet_by_index(number - 1).iter_rows()):
                for column, value in enumerate(cells):
                    if value != "":
                        grid.put(row, column, _text(value))
            pages.append(Page(number, "\n".join(grid.take_lines()), sheet.name))
    except PasswordError as error:
        raise HipError(f"{where}: is protected by a password", "save it without a password first") from error
    except BaseException as error:
        # A panic of its Rust code comes as a BaseException whose class cannot be imported.
        if not isinstance(error, (CalamineError, *_ERRORS)) and type(error).__name__ != "PanicException":
            raise
        raise HipError(
            f"{where}: is damaged ({first_line(error)})",
            "open it in an office program, which may repair it, and save it again as xlsx",
        ) from error
    warnings = (*hidden_sheets(hidden), _NO_FORMATS)
    return Content(kind=kind, reader="calamine", unit="sheet", pages=tuple(pages), warnings=warnings)


def hidden_sheets(numbers: list[int]) -> Iterator[str]:
    """What to say of hidden sheets, which are read."""
    if numbers:
        yield f"hidden sheets were read: {format_page_ranges(numbers)}."


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return general(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "seconds")
    return str(value)
