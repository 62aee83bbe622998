"""The rows of an HTML table as lines."""

from hipcli.documents.readers.office.tables_as_text import row_lines

_WIDEST = 50  # columns that a cell may take at most
_LONGEST_REPEATED = 200  # characters of a cell that is repeated in the rows it reaches down to


class Table:
    """Takes cells and gives rows. A cell that reaches down over several rows stands in each of them."""

    def __init__(self) -> None:
        self._row: list[str] = []
        self._from_above: dict[int, tuple[int, str]] = {}  # by column: in how many more rows, and the text

    def add_cell(self, text: str, columns: int, rows: int) -> None:
        """The next cell of this row."""
        self._fill_from_above()
        for column in range(len(self._row), len(self._row) + max(1, min(columns, _WIDEST))):
            if rows > 1:
                self._from_above[column] = (rows - 1, text if len(text) <= _LONGEST_REPEATED else "")
            self._row.append(text)
            text = ""

    def end_row(self) -> list[str]:
        """The row as one line with " | " between its cells; cells that have several paragraphs are blocks instead."""
        self._fill_from_above()
        row, self._row = self._row, []
        if len(row) > 1 and not any("\n\n" in cell for cell in row):
            return row_lines([cell.split("\n") for cell in row])
        return [cell for cell in row if cell.strip()]

    def _fill_from_above(self) -> None:
        while len(self._row) in self._from_above:
            column = len(self._row)
            left, text = self._from_above.pop(column)
            if left > 1:
                self._from_above[column] = (left - 1, text)
            self._row.append(text)
