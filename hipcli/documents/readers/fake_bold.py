"""Bold type or a shadow made by drawing letters twice, a little apart.

PDFium drops most of the second letters; where it does not its text is "MMuunniicchh". Only the boxes of the letters
tell that from "aabb", so they are looked at where text looks doubled.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium

_DOUBLED = re.compile(r"(?:(\w)\1){3}")
_MIN_LINE = 6  # characters
_MAX_SHIFT = 0.5  # of a letter's width and height: the next letter of a word is about a width away
_MIN_SPACE = 0.35  # of the wider letter beside it
_CELL = 8.0  # points
_MAX_IN_CELL = 16  # the same letter in one cell: enough for any legible text


@dataclass(frozen=True)
class Character:
    """A character with its box in points."""

    text: str
    left: float
    bottom: float
    right: float
    top: float

    @property
    def cell(self) -> tuple[str, int, int]:
        return self.text, int(self.left // _CELL), int(self.bottom // _CELL)

    def is_at(self, other: "Character") -> bool:
        width, height = self.right - self.left, self.top - self.bottom
        return (
            abs(self.left - other.left) < _MAX_SHIFT * width and abs(self.bottom - other.bottom) < _MAX_SHIFT * height
        )

    def is_part_of(self, other: "Character") -> bool:
        """Whether one glyph, such as a ligature, stands for both."""
        return (self.left, self.bottom, self.right) == (other.left, other.bottom, other.right)

    def follows_a_space_after(self, other: "Character") -> bool:
        height = self.top - self.bottom
        wider = max(self.right - self.left, other.right - other.left)
        return (
            abs(self.bottom - other.bottom) < _MAX_SHIFT * height
            and _MIN_SPACE * wider < self.left - other.right < height
        )


def looks_doubled(text: str) -> bool:
    """Whether a page may have letters or lines twice; genuine ones look so, too."""
    return _DOUBLED.search(text) is not None or any(_is_twice(line) for line in text.split("\n"))


def characters(textpage: pypdfium2.PdfTextPage) -> Iterator[Character]:
    """The characters of a page in PDFium's order."""
    for index in range(textpage.count_chars()):
        box = textpage.get_charbox(index, loose=True)
        yield Character(chr(pdfium.FPDFText_GetUnicode(textpage.raw, index)), *box)


def drawn_once(characters: Iterable[Character]) -> str:
    """Their text, without the letters that lie upon the same letter."""
    seen: dict[tuple[str, int, int], list[Character]] = defaultdict(list)
    text: list[str] = []
    space = ""
    last: Character | None = None
    dropped: Character | None = None
    for character in characters:
        if character.text.isspace():
            space = "\n" if "\n" in (space, character.text) else " "
            continue
        is_part = last is not None and character.is_part_of(last)
        if (dropped and character.is_part_of(dropped)) or (
            not is_part and any(character.is_at(other) for other in _near(seen, character))
        ):
            dropped = character
            continue
        same = seen[character.cell]
        if len(same) < _MAX_IN_CELL:
            same.append(character)
        if text:
            # Spaces between two words were taken for part of the letters that lay there.
            text.append(space or (" " if last and character.follows_a_space_after(last) else ""))
        text.append(character.text)
        space, last, dropped = "", character, None
    return "".join(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_twice(line: str) -> bool:
    line = line.strip()
    half = len(line) // 2
    return len(line) >= _MIN_LINE and line[:half] == line[-half:]


def _near(seen: dict[tuple[str, int, int], list[Character]], character: Character) -> Iterator[Character]:
    text, column, row = character.cell
    for near_column in range(column - 1, column + 2):
        for near_row in range(row - 1, row + 2):
            yield from seen.get((text, near_column, near_row), ())
