"""Rows of cells as lines of text."""

from collections.abc import Sequence

_BETWEEN_CELLS = " | "
_BETWEEN_LINES = " / "


def row_lines(cells: Sequence[Sequence[str]]) -> list[str]:
    """A row of a table, each cell as its lines: one line with " | " between cells, none for an empty row.

    A row with text in one cell only, which layout is often made of, keeps the lines of that cell.
    """
    filled = [[line for line in cell if line.strip()] for cell in cells]
    texts = [cell for cell in filled if cell]
    if len(texts) == 1:
        return list(texts[0])
    return [join_cells([_BETWEEN_LINES.join(line.strip() for line in cell) for cell in filled])] if texts else []


def join_cells(cells: Sequence[str]) -> str:
    """The cells of a row in one line, without those that are empty at its end."""
    last = max((index for index, cell in enumerate(cells) if cell), default=-1)
    return _BETWEEN_CELLS.join(cells[: last + 1])
