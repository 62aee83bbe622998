"""The text of an RTF document as it grows: paragraphs, rows of tables, sections."""

from hipcli.documents.document import Page
from hipcli.documents.readers.office.sections import Section, to_pages
from hipcli.documents.readers.office.tables_as_text import row_lines

_FIRST_SURROGATE, _LAST_SURROGATE = "\ud800", "\udfff"


class RtfText:
    """Takes characters and the ends of paragraphs, cells and rows; gives pages."""

    def __init__(self) -> None:
        self._sections: list[tuple[str | None, list[str]]] = [(None, [])]
        self._line: list[str] = []
        self._cell: list[str] = []  # lines of the cell that is open
        self._cells: list[list[str]] = []
        self._inner_cells: list[list[str]] = []  # of a row of a table inside a cell

    @property
    def mark(self) -> int:
        """Where the line ends now, for `since`."""
        return len(self._line)

    def since(self, mark: int) -> str:
        """What the line has got since that mark; all of it, if it began after the mark."""
        return "".join(self._line[mark if mark <= len(self._line) else 0 :])

    def add(self, text: str) -> None:
        """Characters of the line that is open."""
        self._line.append(text)

    def end_paragraph(self, in_table: bool, heading: bool) -> None:
        """The end of a line; one that is a heading begins a section."""
        line = self._take_line()
        if in_table:
            self._cell.append(line)
        elif heading and line.strip():
            self._sections.append((" ".join(line.split()), []))
        else:
            self._sections[-1][1].append(line)

    def end_cell(self, inner: bool) -> None:
        """The end of a cell, or of one of a table inside a cell."""
        (self._inner_cells if inner else self._cells).append([*self._cell, self._take_line()])
        self._cell = []

    def end_row(self, inner: bool) -> None:
        """The end of a row: its cells become one line, or the lines of its only cell."""
        if inner:
            self._cell += row_lines(self._inner_cells)
            self._inner_cells = []
        else:
            self._sections[-1][1].extend(row_lines(self._cells))
            self._cells = []

    def pages(self) -> tuple[Page, ...]:
        """A page for each section, with all that is still open."""
        self.end_row(True)
        if self._cells:
            self.end_cell(False)
        self.end_row(False)
        lines = self._sections[-1][1]
        lines += [*self._cell, self._take_line()]
        sections: list[Section] = [
            item for item in self._sections if item[0] is not None or any(map(str.strip, item[1]))
        ]
        return to_pages(sections or [(None, lines)])

    def _take_line(self) -> str:
        line, self._line = "".join(self._line), []
        if any(_FIRST_SURROGATE <= letter <= _LAST_SURROGATE for letter in line):
            line = line.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return line.rstrip()
