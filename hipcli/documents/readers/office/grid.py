"""The cells of a sheet as text: a line for each row, however far apart the cells are."""

from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office.tables_as_text import row_lines
from hipcli.errors import HipError

_MOST_EMPTY = 20  # cells next to each other in a row
_CHARACTER_SHARE = 16  # of the memory allowed: a character may take four bytes, and text is copied


class Grid:
    """Texts by row and column, both from 0, of one sheet after another. Empty cells take no memory.

    `where` names the file in errors.
    """

    def __init__(self, where: str, options: ReadOptions) -> None:
        self.rows: dict[int, dict[int, str]] = {}
        self._where = where
        self._most_characters = options.most_bytes * 4 // _CHARACTER_SHARE
        self._characters = 0

    def put(self, row: int, column: int, text: str) -> None:
        """Raises HipError where all cells of the file hold too much: cells may share long texts."""
        if not text.strip():
            return
        self.rows.setdefault(row, {})[column] = text
        self._characters += len(text)
        if self._characters > self._most_characters:
            raise HipError(
                f"{self._where}: its cells hold more text than memory allows",
                "allow more memory for a document, or divide it",
            )

    def take_lines(self) -> list[str]:
        """Rows as lines with " | " between cells, without columns that are empty in all rows. An empty line stands for
        any number of empty rows, a note for a long stretch of empty cells. The grid is empty afterwards.
        """
        used = sorted({column for cells in self.rows.values() for column in cells})
        place = {column: index for index, column in enumerate(used)}
        lines: list[str] = []
        previous = None
        for row in sorted(self.rows):
            if previous is not None and row > previous + 1:
                lines.append("")
            previous = row
            lines += self._row(self.rows[row], place)
        self.rows = {}
        return lines

    def _row(self, cells: dict[int, str], place: dict[int, int]) -> list[str]:
        texts: list[list[str]] = []
        last = -1
        for column in sorted(cells):
            gap = place[column] - last - 1
            texts += [[f"({gap} empty cells)"]] if gap > _MOST_EMPTY else [[]] * gap
            texts.append(cells[column].strip("\n").split("\n"))
            last = place[column]
        return row_lines(texts)
