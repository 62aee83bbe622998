"""Text of a PDF that a viewer does not show: outside the page, on layers that are off, invisible, tiny, painted over.

Cheap signs say which text is suspect. Whether it is seen is asked of the renderer: the page is drawn with it and
without it. A text layer of a scan is hidden, too, and is read: it stands where the scan shows the same text.
"""

import ctypes
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.pdf.page_objects import IMAGE, PATH, SHADING, TEXT, Box, PageObject, height_of_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OUTSIDE = "outside the page"
_TINY = "smaller than 1 point"
_LAYER = "on layers that are off"
_INVISIBLE = "invisible"
_PAINTED_OVER = "painted over, or in the colour of what is behind"

_TINIEST = 1.0  # points
_LOW_TINY = 1.5  # points that a box of tiny text is high; a dash of plain text is as low
_CONTRAST = 32  # of 255, in any colour; less is not seen
_TRANSPARENT = 16  # of 255
_INK = 64  # of 255: how far apart the lightest and the darkest of a place with something drawn are
_SHAPE = 4.0  # points that a shape is high and wide, at least, to have text upon it
_MOST_SHAPES = 300  # the biggest ones are looked at
_SCAN = 0.5  # of the page that its pictures cover
_MOST_PIXELS = 2_000_000
_WHITE = (255, 255, 255)
_OPTIONAL_CONTENT = "OC\0".encode("utf-16-le")

_Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Hidden:
    """How many characters of a page are hidden, by why; and whether it has invisible text that is read as a scan's."""

    characters: Mapping[str, int] = field(default_factory=dict)
    doubtful: bool = False


def take_out(
    page: pypdfium2.PdfPage, objects: Sequence[PageObject], keep: bool, layers_off: Callable[[], bool]
) -> Hidden:
    """Find the hidden text of a page, and make it inactive unless `keep`: text pages loaded later are without it.

    `objects` are those of the page. `layers_off` says whether the document may have layers that are off.
    """
    texts = [item for item in objects if item.kind == TEXT]
    found, suspects = _sorted_out(page, objects, texts, layers_off)
    if not found and not suspects:
        return Hidden()
    unseen, doubtful = _unseen(page, objects, texts, suspects)
    for reason, items in unseen.items():
        found[reason] = [*found.get(reason, ()), *items]
    return Hidden(_taken_out(page, found, keep), doubtful)


def said(found: Mapping[int, Hidden], read: bool) -> tuple[str, ...]:
    """Sentences for the hidden text of pages, by number, and whether it is `read`."""
    reasons = sorted({reason for hidden in found.values() for reason in hidden.characters})
    end = "read all the same" if read else "left out (--hidden reads it)"
    sentences = []
    for reason in reasons:
        pages = [number for number, hidden in found.items() if reason in hidden.characters]
        count = sum(found[number].characters[reason] for number in pages)
        characters = "1 character" if count == 1 else f"{count} characters"
        sentences.append(f"text that a viewer does not show, {end}: {characters} {reason}, on {_pages(pages)}.")
    return tuple(sentences)


def said_of_doubtful(found: Mapping[int, Hidden]) -> tuple[str, ...]:
    """A sentence for the pages whose invisible text is read."""
    pages = [number for number, hidden in found.items() if hidden.doubtful]
    reason = "something is drawn in its place, or there is no other"
    return (f"{_pages(pages)}: text that a viewer may not show is read: {reason}.",) if pages else ()


def _sorted_out(
    page: pypdfium2.PdfPage,
    objects: Sequence[PageObject],
    texts: Sequence[PageObject],
    layers_off: Callable[[], bool],
) -> tuple[dict[str, list[PageObject]], dict[str, list[PageObject]]]:
    """What is hidden for sure, and what may be, by why."""
    bounds = page.get_bbox()
    order = {id(item): index for index, item in enumerate(objects)}
    shapes = _shapes(objects)
    channels = _Channels()
    hidden: dict[str, list[PageObject]] = defaultdict(list)
    suspects: dict[str, list[PageObject]] = defaultdict(list)
    for item in texts:
        if _outside(item.box, bounds):
            hidden[_OUTSIDE].append(item)
        elif item.box[3] - item.box[1] < _LOW_TINY and item.box[2] > item.box[0] and height_of_text(item) < _TINIEST:
            hidden[_TINY].append(item)
        elif _may_be_off(item, layers_off):
            suspects[_LAYER].append(item)
        elif _has_area(item) and (reason := _suspicion(item, order[id(item)], shapes, channels)):
            suspects[reason].append(item)
    return dict(hidden), dict(suspects)


def _unseen(
    page: pypdfium2.PdfPage,
    objects: Sequence[PageObject],
    texts: Sequence[PageObject],
    suspects: Mapping[str, Sequence[PageObject]],
) -> tuple[dict[str, list[PageObject]], bool]:
    """The suspects that are not seen, by why; and whether some that are not seen either are to be read."""
    pictures = [item.box for item in objects if item.kind == IMAGE]
    scan = sum(map(_area, pictures)) >= _SCAN * _area(page.get_bbox())
    left = {
        reason: [item for item in items if reason != _INVISIBLE or not (scan and _inside_any(item.box, pictures))]
        for reason, items in suspects.items()
    }
    invisible = left.get(_INVISIBLE, [])
    doubtful = bool(invisible) and len(suspects[_INVISIBLE]) == len([item for item in texts if _has_area(item)])
    if doubtful:
        left[_INVISIBLE] = []  # there is no other text on the page: whatever made it meant this to be found
    checked = [item for items in left.values() for item in items]
    if not checked:
        return {}, doubtful
    whole = _drawn(page)
    with _inactive(checked):
        without = _drawn(page)
    with _inactive(texts):
        background = _drawn(page)
    unseen: dict[str, list[PageObject]] = {}
    for reason, items in left.items():
        not_seen = [item for item in items if not _differs(page, whole, without, item.box)]
        inked = [item for item in not_seen if _has_ink(page, background, item.box)]
        if reason != _LAYER and 2 * len(inked) > len(not_seen):
            doubtful = True
        elif not_seen:
            unseen[reason] = not_seen
    return unseen, doubtful


def _taken_out(page: pypdfium2.PdfPage, found: Mapping[str, Sequence[PageObject]], keep: bool) -> dict[str, int]:
    counts: dict[str, int] = {}
    before = _count(page)
    for reason, items in found.items():
        for item in items:
            pdfium.FPDFPageObj_SetIsActive(item.handle, False)
        after = _count(page)
        if before > after:  # else it was white space
            counts[reason] = before - after
        before = after
    if keep:
        for items in found.values():
            for item in items:
                pdfium.FPDFPageObj_SetIsActive(item.handle, True)
    return counts


def _count(page: pypdfium2.PdfPage) -> int:
    """The number of characters on the page that are no white space."""
    textpage = page.get_textpage()
    try:
        return sum(map(len, textpage.get_text_range().split()))
    finally:
        textpage.close()


def _outside(box: Box, bounds: Box) -> bool:
    return box[2] < bounds[0] or box[0] > bounds[2] or box[3] < bounds[1] or box[1] > bounds[3]


def _may_be_off(item: PageObject, layers_off: Callable[[], bool]) -> bool:
    """Whether it is marked as part of a layer that may be off. A form may be part of one without a mark."""
    if item.in_form and layers_off():
        return True
    marks = pdfium.FPDFPageObj_CountMarks(item.handle)
    if not marks:
        return False
    name = (ctypes.c_ushort * 3)()
    length = ctypes.c_ulong()
    for index in range(marks):
        mark = pdfium.FPDFPageObj_GetMark(item.handle, index)
        if pdfium.FPDFPageObjMark_GetName(mark, name, ctypes.sizeof(name), length) and bytes(name) == _OPTIONAL_CONTENT:
            # What depends on several layers may be shown only where one is off.
            several = pdfium.FPDFPageObjMark_GetParamValueType(mark, b"OCGs") != pdfium.FPDF_OBJECT_UNKNOWN
            return several or layers_off()
    return False


def _suspicion(
    item: PageObject, order: int, shapes: Sequence[tuple[int, PageObject]], channels: "_Channels"
) -> str | None:
    """Why a text may not be seen. `order` is its index among the objects of the page, `shapes` have theirs."""
    mode = pdfium.FPDFTextObj_GetTextRenderMode(item.handle)
    colour, opaque = channels.fill(item)
    filled = mode == pdfium.FPDF_TEXTRENDERMODE_FILL
    if mode == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE or (filled and opaque < _TRANSPARENT):
        return _INVISIBLE
    behind: _Colour | None = _WHITE
    for index, shape in shapes:
        if not _inside(item.box, shape.box):
            continue
        if index > order:
            # A scan may lie on its text layer.
            return _INVISIBLE if shape.kind == IMAGE else _PAINTED_OVER
        behind = channels.fill(shape)[0] if shape.kind == PATH else None
    # What a picture has there is unknown; most text that is hidden upon one is white.
    return _PAINTED_OVER if filled and colour is not None and _alike(colour, behind or _WHITE) else None


def _shapes(objects: Sequence[PageObject]) -> list[tuple[int, PageObject]]:
    """Pictures and filled shapes that text may stand on, or below, with their index."""
    shapes = [
        (index, item)
        for index, item in enumerate(objects)
        if item.kind in (PATH, IMAGE, SHADING)
        and item.box[2] - item.box[0] >= _SHAPE
        and item.box[3] - item.box[1] >= _SHAPE
        and (item.kind != PATH or _is_filled(item))
    ]
    if len(shapes) > _MOST_SHAPES:
        shapes = sorted(sorted(shapes, key=lambda pair: -_area(pair[1].box))[:_MOST_SHAPES])
    return shapes


def _is_filled(item: PageObject) -> bool:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    return bool(pdfium.FPDFPath_GetDrawMode(item.handle, fill, stroke)) and fill.value != pdfium.FPDF_FILLMODE_NONE


class _Channels:
    """Room for a colour: to make it anew for each text of a page takes longer than to ask for the colour."""

    def __init__(self) -> None:
        self._red, self._green, self._blue, self._opaque = (ctypes.c_uint() for _ in range(4))

    def fill(self, item: PageObject) -> tuple[_Colour | None, int]:
        """The colour in which it is filled, None for a pattern, and how opaque it is: 255 is entirely."""
        if not pdfium.FPDFPageObj_GetFillColor(item.handle, self._red, self._green, self._blue, self._opaque):
            return None, 255
        return (self._red.value, self._green.value, self._blue.value), self._opaque.value


def _alike(one: _Colour, other: _Colour) -> bool:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]), abs(one[2] - other[2])) < _CONTRAST


@contextmanager
def _inactive(items: Sequence[PageObject]) -> Iterator[None]:
    for item in items:
        pdfium.FPDFPageObj_SetIsActive(item.handle, False)
    try:
        yield
    finally:
        for item in items:
            pdfium.FPDFPageObj_SetIsActive(item.handle, True)


def _drawn(page: pypdfium2.PdfPage) -> "NDArray[np.int16]":
    """The page as a viewer shows it, without annotations: (height, width, 3), 0 to 255."""
    width, height = page.get_size()
    scale = min(1.0, (_MOST_PIXELS / max(width * height, 1.0)) ** 0.5)
    bitmap = page.render(scale=scale, draw_annots=False, may_draw_forms=False)
    try:
        return bitmap.to_numpy()[:, :, :3].astype("int16")  # type: ignore[no-any-return]
    finally:
        bitmap.close()


def _differs(page: pypdfium2.PdfPage, one: "NDArray[np.int16]", other: "NDArray[np.int16]", box: Box) -> bool:
    part = _part(page, one, box)
    return bool((abs(one[part] - other[part]) >= _CONTRAST).any())


def _has_ink(page: pypdfium2.PdfPage, picture: "NDArray[np.int16]", box: Box) -> bool:
    margin = (box[3] - box[1]) / 5  # the edge of a table's cell is no text
    place = picture[_part(page, picture, (box[0], box[1] + margin, box[2], box[3] - margin))]
    return bool(place.size) and bool((place.max(axis=(0, 1)) - place.min(axis=(0, 1)) >= _INK).any())


def _part(page: pypdfium2.PdfPage, picture: "NDArray[np.int16]", box: Box) -> tuple[slice, slice]:
    """Where `box` is in a picture of the page, which may be turned."""
    height, width = picture.shape[:2]
    x, y = ctypes.c_int(), ctypes.c_int()
    across, down = [], []
    for point in ((box[0], box[1]), (box[2], box[3])):
        pdfium.FPDF_PageToDevice(page, 0, 0, width, height, 0, *point, x, y)
        across.append(min(max(x.value, 0), width))
        down.append(min(max(y.value, 0), height))
    return slice(min(down), max(down) + 1), slice(min(across), max(across) + 1)


def _inside(box: Box, other: Box) -> bool:
    """Whether the middle and most of `box` are inside `other`."""
    across = min(box[2], other[2]) - max(box[0], other[0])
    up = min(box[3], other[3]) - max(box[1], other[1])
    return across >= 0.8 * (box[2] - box[0]) and up >= 0.8 * (box[3] - box[1])


def _inside_any(box: Box, others: Sequence[Box]) -> bool:
    return any(_inside(box, other) for other in others)


def _has_area(item: PageObject) -> bool:
    return item.box[2] > item.box[0] and item.box[3] > item.box[1]


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _pages(numbers: Sequence[int]) -> str:
    return f"{'page' if len(numbers) == 1 else 'pages'} {format_page_ranges(numbers)}"
