"""Vertical writing: lines go down, and the next line is to the left. PDFium gives the columns from left to right."""

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pypdfium2

from hipcli.documents.readers.pdf.fake_bold import Character, characters

EAST_ASIAN = r"[\u3001-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff]"
_EAST_ASIAN = re.compile(EAST_ASIAN)
_LEAST_CHARACTERS = 4  # in columns, before anything is moved


@dataclass(frozen=True)
class Column:
    """A line of text that goes down; `middle` is where it stands from left to right, in points."""

    text: str
    middle: float
    width: float
    bottom: float
    top: float


def in_columns(text: str, textpage: pypdfium2.PdfTextPage) -> str:
    """`text`, which PDFium gives for the page, with its vertical lines from right to left. Others stay in place."""
    if len(_EAST_ASIAN.findall(text)) < _LEAST_CHARACTERS:
        return text
    columns = _columns(textpage)
    lines: list[str | Column] = []
    for line in text.split("\n"):
        known = columns.get(line.strip("\r"))
        lines.append(known.popleft() if known else line)
    return "\n".join(in_order(lines))


def in_order(lines: Sequence[str | Column]) -> Iterator[str]:
    """The text of lines, with successive columns from right to left."""
    for vertical, run in groupby(lines, lambda line: isinstance(line, Column)):
        if vertical:
            yield from _columns_in_order([line for line in run if isinstance(line, Column)])
        else:
            yield from (line for line in run if isinstance(line, str))


def _columns_in_order(lines: Sequence[Column]) -> Iterator[str]:
    """The text of successive lines, any of which may be a mere part of a column, and which may be no columns at all."""
    columns = list(_put_together(lines))
    if sum(len(column.text) for column in columns if len(column.text) > 1) < _LEAST_CHARACTERS:
        return (line.text for line in lines)
    return _from_right_to_left(columns)


def _put_together(lines: Sequence[Column]) -> Iterator[Column]:
    """PDFium divides a column at its gaps, and may make a line of every character."""
    column = lines[0]
    for line in lines[1:]:
        gap = column.bottom - line.top
        if abs(line.middle - column.middle) < column.width / 2 and -column.width / 2 < gap < column.width:
            column = replace(column, text=column.text + line.text, bottom=line.bottom)
        else:
            yield column
            column = line
    yield column


def _columns(textpage: pypdfium2.PdfTextPage) -> dict[str, deque[Column]]:
    """The vertical lines of a page, by their text; the same text may stand there more than once."""
    columns: dict[str, deque[Column]] = defaultdict(deque)
    for line in _lines(textpage):
        column = _as_column(line)
        if column is not None:
            columns[column.text].append(column)
    return columns


def _lines(textpage: pypdfium2.PdfTextPage) -> Iterator[list[Character]]:
    line: list[Character] = []
    for character in characters(textpage):
        if character.text == "\n":
            yield line
            line = []
        elif character.text != "\r":
            line.append(character)
    yield line


def _as_column(line: Sequence[Character]) -> Column | None:
    """`line` as a column, if its characters stand below each other, or if it is a single one."""
    drawn = [character for character in line if not character.text.isspace()]
    if not drawn or not any(_EAST_ASIAN.match(character.text) for character in drawn):
        return None
    width = max(character.right - character.left for character in drawn)
    middles = [(character.left + character.right) / 2 for character in drawn]
    tops = [character.top for character in drawn]
    if max(middles) - min(middles) > width / 2 or any(tops[i] <= tops[i + 1] for i in range(len(tops) - 1)):
        return None
    text = "".join(character.text for character in line)
    return Column(text, sum(middles) / len(middles), width, min(character.bottom for character in drawn), max(tops))


def _from_right_to_left(columns: Sequence[Column]) -> Iterator[str]:
    """The columns of a page in the order they are read: tier below tier, and in each the rightmost first."""
    for tier in _tiers(columns):
        yield from (column.text for column in sorted(tier, key=lambda column: (-column.middle, -column.top)))


def _tiers(columns: Sequence[Column]) -> list[list[Column]]:
    """Columns that stand beside each other, from the top of the page to its foot."""
    tiers: list[list[Column]] = []
    lowest = 0.0
    for column in sorted(columns, key=lambda column: -column.top):
        if not tiers or column.top < lowest:
            tiers.append([])
            lowest = column.bottom
        tiers[-1].append(column)
        lowest = min(lowest, column.bottom)
    return tiers
