"""Pictures of pages to text, through RapidOCR, whose models come inside its wheel; see docs/decisions/007.

Knows Latin, Chinese and Japanese writing. Nothing goes over the network, neither models nor telemetry.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from math import dist
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipcli.documents.heartbeat import beat
from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.pictures.reading_order import Corner, arrange, straighten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INSTALL = "pip install 'hipcli[ocr]'"
SCRIPTS = "Latin, Chinese and Japanese"

MOST_PIXELS = 20_000_000  # of a picture; A4 at 400 dots an inch has 15 million

_LEGIBLE = 0.5  # certainty of a line; below it, marks on pictures are taken for letters
_DENSE = 0.5  # characters for each of its heights that a line is long; fewer where letters are unknown
_CERTAIN = 0.9  # of a page; pages in other scripts, or upside down, stay below it
_VIETNAMESE = frozenset("ƠơƯư")  # its other letters are unknown, and left out without a trace
_MOST_SIDE = 1600  # pixels of the picture in which lines are looked for; they are read in the full one
_CONTRAST = 48  # of 255, in any colour; paper differs less from itself
_MARGIN = 32  # pixels around what is drawn
_MOST_LINES = 5000
_AT_ONCE = 8  # lines that a thread reads one after the other
_MOST_THREADS = 4  # each takes memory, and looking for lines takes one


@dataclass(frozen=True)
class Recognised:
    """What is read in a picture. `certainty` is from 0 to 1; `unread` counts lines that are not, or only in part."""

    text: str
    certainty: float
    unread: int

    @property
    def doubtful(self) -> bool:
        return bool(self.text) and (self.certainty < _CERTAIN or not _VIETNAMESE.isdisjoint(self.text))


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def recognise(image: "NDArray[np.uint8]") -> Recognised:
    """The text in a picture of shape (height, width, 3), its colours in the order blue, green, red.

    A page that lies on its side or is upside down is turned. Takes seconds, and about 500 MiB of memory.
    """
    image = _without_margins(image)
    best = _read(image, 0)
    if best.sideways:
        best = max((_read(image, turns) for turns in (1, 3)), key=lambda reading: reading.certainty)
    elif best.lines and best.certainty < _CERTAIN:
        best = max(best, _read(image, 2), key=lambda reading: reading.certainty)
    text = arrange(straighten([(line.text, line.corners) for line in best.lines if line.legible]))
    return Recognised(text, best.certainty, sum(not (line.legible and line.dense) for line in best.lines))


def joined(parts: Sequence[Recognised]) -> Recognised:
    """Several pictures of one page, one after the other."""
    return Recognised(
        "\n\n".join(part.text for part in parts if part.text),
        min((part.certainty for part in parts if part.text), default=0.0),
        sum(part.unread for part in parts),
    )


def said(pages: Mapping[int, Recognised]) -> Iterator[str]:
    """The warnings about pages, by number, whose text was recognised."""
    numbers = [number for number, page in pages.items() if page.text]
    if numbers:
        yield f"{_pages(numbers)} recognised (OCR): letters may be wrong."
    doubtful = [number for number, page in pages.items() if page.doubtful]
    if doubtful:
        yield f"{_pages(doubtful)} recognised with little certainty: only {SCRIPTS} writing is known."
    unread = [number for number, page in pages.items() if page.unread]
    if unread:
        count = sum(pages[number].unread for number in unread)
        lines = "1 line" if count == 1 else f"{count} lines"
        where = f"{'page' if len(unread) == 1 else 'pages'} {format_page_ranges(unread)}"
        yield f"{lines} of what may be writing could not be recognised, or not in full, on {where}."


def _pages(numbers: list[int]) -> str:
    return f"page {numbers[0]} was" if len(numbers) == 1 else f"pages {format_page_ranges(numbers)} were"


@dataclass(frozen=True)
class _Line:
    """`corners` go clockwise from where the top left one is in the picture."""

    text: str
    corners: list[Corner]
    certainty: float

    @property
    def legible(self) -> bool:
        return bool(self.text.strip()) and self.certainty >= _LEGIBLE

    @property
    def dense(self) -> bool:
        return sum(not letter.isspace() for letter in self.text) * self.thickness >= _DENSE * self.length

    @property
    def sides(self) -> tuple[float, float]:
        first, second, third, _ = self.corners
        return dist(first, second), dist(second, third)

    @property
    def length(self) -> float:
        return max(self.sides)

    @property
    def thickness(self) -> float:
        return min(self.sides)

    @property
    def tall(self) -> bool:
        across, down = self.sides
        return down > 1.5 * across


@dataclass(frozen=True)
class _Reading:
    """The lines in a picture."""

    lines: list[_Line]

    @property
    def certainty(self) -> float:
        length = sum(line.length for line in self.lines)
        return sum(line.length * line.certainty for line in self.lines if line.dense) / length if length else 0.0

    @property
    def sideways(self) -> bool:
        """Whether most text runs up or down."""
        return 2 * sum(line.length for line in self.lines if line.tall) > sum(line.length for line in self.lines)


def _without_margins(image: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """The part of a picture in which anything differs from its first corner, if that is less than half.

    A word that stands alone on a large page is not found, and so are not a line in a table's cell, or a page's number.
    """
    import numpy as np

    background = image[0, 0].astype(np.int16)
    darkest, lightest = (np.clip(background + by, 0, 255).astype(np.uint8) for by in (-_CONTRAST, _CONTRAST))
    drawn = ((image < darkest) | (image > lightest)).any(axis=2)
    down, across = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    if not len(down):
        return image[:1, :1]
    rows, columns = (slice(max(0, found[0] - _MARGIN), found[-1] + _MARGIN + 1) for found in (down, across))
    part = image[rows, columns]
    return part if 2 * part.size < image.size else image


def _read(image: "NDArray[np.uint8]", turns: int) -> _Reading:
    """What is read after as many quarter turns to the left."""
    import numpy as np

    image = np.ascontiguousarray(np.rot90(image, turns))
    engine = _engine()
    boxes = engine(image, use_rec=False).boxes
    if boxes is None:
        return _Reading([])

    def read(part: "NDArray[np.float32]") -> list[_Line]:
        found = engine.recognize_txt(engine.crop_text_regions(image, part))
        return [_Line(*line) for line in zip(found.txts, part.tolist(), found.scores, strict=True)]

    lines = []
    # Not threads of ONNX Runtime's own: those wait in loops, and several processes that do it halve their pace.
    with ThreadPoolExecutor(_threads()) as threads:
        for part in threads.map(read, [boxes[at : at + _AT_ONCE] for at in range(0, len(boxes), _AT_ONCE)]):
            lines += part
            beat()
    return _Reading(lines)


def _threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_THREADS)


@cache
def _engine() -> Any:
    # From 1.29 on ONNX Runtime tells its maker of its use as soon as it is imported, and leaves an identifier on disk.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import cv2
    import rapidocr

    cv2.setNumThreads(1)
    models = Path(rapidocr.__file__).parent / "models"
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            # It takes whole lines for upside down; pages are turned here.
            "Global.use_cls": False,
            "Global.text_score": 0.0,
            "Global.max_side_len": 100_000,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
            "Det.limit_type": "max",
            "Det.limit_side_len": _MOST_SIDE,
            "Det.max_candidates": _MOST_LINES,
            "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
            # Lines of a batch are filled up to the longest, which takes longer and is no more exact.
            "Rec.rec_batch_num": 1,
        }
    )
