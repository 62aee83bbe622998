"""Lines of text that were found on the picture of a page, put in reading order: columns, rows, paragraphs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import atan2, cos, sin
from statistics import median

_MARGIN = 0.2  # of a line's height, that what finds lines leaves around them
_CORE = 0.3  # of a line's height, on either side of its middle: rows that are close together must not touch
_WIDE = 8  # times its height: a line of prose, and not a cell of a table
_LEAST_WIDE = 2  # lines of a column
_LEAST_GUTTER = 0.2  # of the usual height of lines
_CELLS = 2.0  # of the usual height of lines: a space as wide stands between cells
_PARAGRAPHS = 1.5  # times the usual distance of rows

Corner = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Text and where it stands, in pixels from the top left."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2

    @property
    def wide(self) -> bool:
        return self.width >= _WIDE * self.height


def straighten(found: Sequence[tuple[str, Sequence[Corner]]]) -> list[Line]:
    """Lines out of texts and their corners (clockwise from the top left), as if the page were straight."""
    angles = [atan2(right[1] - left[1], right[0] - left[0]) for _, (left, right, _, _) in found]
    angle = median(angles) if angles else 0.0
    return [_line(text, corners, cos(angle), sin(angle)) for text, corners in found]


def arrange(lines: Sequence[Line]) -> str:
    """The text in reading order: a row a line, cells of a row two spaces apart, an empty line between paragraphs."""
    if not lines:
        return ""
    height = median(line.height for line in lines)
    return "\n".join(_paragraphs(block, height) for block in _blocks(lines, height))


def _line(text: str, corners: Sequence[Corner], cosine: float, sine: float) -> Line:
    across = [x * cosine + y * sine for x, y in corners]
    down = [y * cosine - x * sine for x, y in corners]
    top, bottom = min(down), max(down)
    margin = min(_MARGIN * (bottom - top), (max(across) - min(across)) / 4)
    return Line(text, min(across) + margin, top, max(across) - margin, bottom)


def _blocks(lines: Sequence[Line], height: float) -> Iterator[list[Line]]:
    """Parts of the page to be read one after the other, each row by row: where columns begin and end, and columns."""
    if sum(line.wide for line in lines) < 2 * _LEAST_WIDE:
        yield list(lines)
        return
    bands = list(_bands(lines, height))
    whole = _Gap(min(line.left for line in lines), max(line.right for line in lines))
    plain: list[Line] = []
    start = 0
    while start < len(bands):
        end, gutter = _columns(bands, start, whole, _LEAST_GUTTER * height)
        if gutter is None:
            plain += bands[start]
        else:
            if plain:
                yield plain
            plain = []
            within = [line for band in bands[start:end] for line in band]
            yield from _blocks([line for line in within if line.right <= gutter.left], height)
            yield from _blocks([line for line in within if line.left >= gutter.right], height)
        start = end
    if plain:
        yield plain


def _bands(lines: Sequence[Line], height: float) -> Iterator[list[Line]]:
    """Lines parted where a straight cut from the left to the right goes through none."""
    band: list[Line] = []
    reached = float("-inf")
    for line in sorted(lines, key=lambda line: _core(line, height)):
        top, bottom = _core(line, height)
        if band and top >= reached:
            yield band
            band = []
        band.append(line)
        reached = max(reached, bottom)
    yield band


def _core(line: Line, height: float) -> tuple[float, float]:
    reach = _CORE * min(line.height, height)
    return line.middle - reach, line.middle + reach


@dataclass(frozen=True)
class _Gap:
    """A stripe without text down some bands, and how many lines stand on its sides, wide ones and all."""

    left: float
    right: float
    wide_before: int = 0
    before: int = 0
    wide_after: int = 0
    after: int = 0

    @property
    def divides_prose(self) -> bool:
        # In a table most cells are narrow, and its rows belong together.
        return min(self.wide_before, self.wide_after) >= _LEAST_WIDE and (
            2 * self.wide_before >= self.before and 2 * self.wide_after >= self.after
        )


def _columns(bands: Sequence[Sequence[Line]], start: int, whole: _Gap, least: float) -> tuple[int, _Gap | None]:
    """How far from band `start` on a gutter divides columns of prose, and that gutter; one band if there is none."""
    gaps = [whole]
    best: tuple[int, _Gap | None] = start + 1, None
    for end in range(start, len(bands)):
        gaps = [part for gap in gaps for part in _free(gap, bands[end], least)]
        gutter = next((gap for gap in gaps if gap.divides_prose), None)
        if gutter is not None:
            best = end + 1, gutter
        elif not gaps or best[1] is not None:
            break
    return best


def _free(gap: _Gap, band: Sequence[Line], least: float) -> Iterator[_Gap]:
    """The parts of `gap` that the lines of another band leave free, with those lines counted."""
    within = sorted((line for line in band if line.right > gap.left and line.left < gap.right), key=lambda x: x.left)
    reached = gap.left
    for line in within:
        if line.left - reached >= least:
            yield _counted(replace(gap, left=reached, right=line.left), band)
        reached = max(reached, line.right)
    if gap.right - reached >= least:
        yield _counted(replace(gap, left=reached), band)


def _counted(gap: _Gap, band: Sequence[Line]) -> _Gap:
    before = [line for line in band if line.right <= gap.left]
    after = [line for line in band if line.left >= gap.right]
    return replace(
        gap,
        wide_before=gap.wide_before + sum(line.wide for line in before),
        before=gap.before + len(before),
        wide_after=gap.wide_after + sum(line.wide for line in after),
        after=gap.after + len(after),
    )


def _paragraphs(lines: Sequence[Line], height: float) -> str:
    rows = list(_rows(lines))
    steps = [later[0].middle - row[0].middle for row, later in pairwise(rows)]
    usual = median(steps) if steps else 0.0
    text = []
    for row, step in zip(rows, [*steps, 0.0], strict=True):
        text.append(_row_text(row, height))
        if step > _PARAGRAPHS * usual:
            text.append("")
    return "\n".join(text)


def _rows(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines side by side, from left to right."""
    row: list[Line] = []
    for line in sorted(lines, key=lambda line: line.middle):
        if row and line.middle >= row[0].middle + max(row[0].height, line.height) / 2:
            yield sorted(row, key=lambda line: line.left)
            row = []
        row.append(line)
    yield sorted(row, key=lambda line: line.left)


def _row_text(row: Sequence[Line], height: float) -> str:
    text = row[0].text
    for line, following in pairwise(row):
        text += ("  " if following.left - line.right > _CELLS * height else " ") + following.text
    return text
