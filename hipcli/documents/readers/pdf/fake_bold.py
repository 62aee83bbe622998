"""Bold type or a shadow made by drawing letters twice, a little apart.

PDFium drops most of the second letters; where it does not its text is "MMuunniicchh". Only the boxes of the letters
tell that from "aabb", so they are looked at where text looks doubled.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import pypdfium2
import pypdfium2.raw as pdfium

_DOUBLED = re.compile(r"(\w)\1(\w)\2(\w)\3")  # as a repeated group it takes longer
_MIN_LINE = 6  # characters
_MAX_SHIFT = 0.5  # of a letter's width and height: the next letter of a word is about a width away
_MIN_LETTERS = 3  # different ones: boxes of one letter may be too wide and overlap in a genuine double
_MIN_SPACE = 0.35  # of the wider letter beside it
_CELL = 8.0  # points
_NOWHERE = (0.0, 0.0, 0.0, 0.0)
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


def without_copies(text: str, textpage: pypdfium2.PdfTextPage) -> str:
    """`text`, which PDFium gives for the page, without the letters that it has twice."""
    if not looks_doubled(text):
        return text
    drawn = list(characters(textpage))
    return drawn_once(drawn) if _copies(drawn) else text


def characters(textpage: pypdfium2.PdfTextPage) -> Iterator[Character]:
    """The characters of a page in PDFium's order."""
    for index in range(textpage.count_chars()):
        code = pdfium.FPDFText_GetUnicode(textpage.raw, index)
        box = textpage.get_charbox(index, loose=True)
        # Of damaged fonts and matrices come numbers that are no characters, and places that are none.
        place = box if all(map(isfinite, box)) else _NOWHERE
        yield Character(chr(code) if code <= sys.maxunicode else "\ufffd", *place)


def drawn_once(characters: Iterable[Character]) -> str:
    """Their text, without the letters that lie upon the same letter."""
    characters = list(characters)
    copies = _copies(characters)
    if not copies:
        return _as_text(character.text for character in characters)
    text: list[str] = []
    space = ""
    last: Character | None = None
    for index, character in enumerate(characters):
        if character.text.isspace():
            space = "\n" if "\n" in (space, character.text) else " "
        elif index not in copies:
            if last:
                # PDFium sees no space between two words where the copy of one letter fills it.
                text.append(space or (" " if character.follows_a_space_after(last) else ""))
            text.append(character.text)
            space, last = "", character
    return _as_text(text)


def _copies(characters: Sequence[Character]) -> set[int]:
    """Indices of the letters that are drawn again, if several letters are, as far apart."""
    seen: dict[tuple[str, int, int], list[Character]] = defaultdict(list)
    shifts: dict[int, tuple[float, float]] = {}
    for index, character in enumerate(characters):
        previous = characters[index - 1] if index else None
        if previous and character.is_part_of(previous):
            if index - 1 in shifts:
                shifts[index] = shifts[index - 1]
            continue
        under = next((other for other in _near(seen, character) if character.is_at(other)), None)
        if under:
            shifts[index] = (round(character.left - under.left, 1), round(character.bottom - under.bottom, 1))
        elif not character.text.isspace() and len(seen[character.cell]) < _MAX_IN_CELL:
            seen[character.cell].append(character)
    letters: dict[tuple[float, float], set[str]] = defaultdict(set)
    for index, shift in shifts.items():
        letters[shift].add(characters[index].text)
    return {index for index, shift in shifts.items() if len(letters[shift]) >= _MIN_LETTERS}


def _as_text(characters: Iterable[str]) -> str:
    return "".join(characters).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_twice(line: str) -> bool:
    line = line.strip()
    half = len(line) // 2
    return len(line) >= _MIN_LINE and line[:half] == line[-half:]


def _near(seen: dict[tuple[str, int, int], list[Character]], character: Character) -> Iterator[Character]:
    text, column, row = character.cell
    for near_column in range(column - 1, column + 2):
        for near_row in range(row - 1, row + 2):
            yield from seen.get((text, near_column, near_row), ())
