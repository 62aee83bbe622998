"""Text of slides that an audience does not see: in the colour of the background, tiny, beside the slide.

It is read, and only said: a colour that a layout gives, or a shape below the text, may make it seen. So text counts
where the slide itself says its colour, and nothing lies behind it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from hipcli.documents.readers.office.numerals import integer
from hipcli.documents.readers.office.xml_package import find, text_of, value

_TINIEST = 200  # hundredths of a point
_DARK_AND_LIGHT = {"bg1": "lt1", "tx1": "dk1", "bg2": "lt2", "tx2": "dk2"}
_FILLS = ("a:solidFill", "a:gradFill", "a:blipFill", "a:pattFill", "a:grpFill")
_SIZE = (12_192_000, 6_858_000)  # of a slide whose presentation says none

_Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass
class Unseen:
    """Characters of a slide that an audience does not see."""

    characters: int = 0
    outside: int = 0


def slide_size(presentation: Element) -> tuple[int, int]:
    """Width and height of the slides, in the units of their shapes."""
    size = find(presentation, "p:sldSz")
    width, height = (0, 0) if size is None else (integer(size.get("cx"), 0), integer(size.get("cy"), 0))
    return (width, height) if width > 0 and height > 0 else _SIZE


def unseen_on(root: Element, behind_it: Sequence[Element], size: tuple[int, int]) -> Unseen:
    """What is not seen on the slide with this `root`; behind it are its layout, its master and its theme."""
    found = Unseen()
    colours = _Colours([root, *behind_it])
    tree = find(root, "p:cSld/p:spTree")
    shapes = [] if tree is None else list(tree)
    background = colours.background()
    behind: list[_Box | None] = []
    for shape in shapes:
        box = _box(shape)
        if shape.tag == "p:sp":
            if box is not None and _apart(box, (0, 0, *size)):
                found.outside += len("".join(text_of(shape, "a:t").split()))
            else:
                bare = _is_bare(shape) and not any(_may_meet(box, other) for other in behind)
                found.characters += sum(_hidden_runs(shape, colours, background if bare else None))
        if not _is_bare(shape):
            behind.append(box)
    return found


def _hidden_runs(shape: Element, colours: "_Colours", background: str | None) -> Iterator[int]:
    """How many characters the runs have that are not seen."""
    for run in shape.iter("a:r"):
        properties = find(run, "a:rPr")
        tiny = properties is not None and integer(properties.get("sz"), 1800) <= _TINIEST
        colour = colours.of(find(properties, "a:solidFill"))
        if tiny or (colour is not None and colour == background):
            yield len("".join(text_of(run, "a:t").split()))


class _Colours:
    """What colours are called on a slide; `roots` are those of the slide, its layout, its master, and its theme."""

    def __init__(self, roots: Sequence[Element]) -> None:
        self._roots = roots
        master = next((root for root in self._roots if root.tag == "p:sldMaster"), None)
        mapped = find(master, "p:clrMap")
        self._names = {**_DARK_AND_LIGHT, **({} if mapped is None else mapped.attrib)}
        theme = next((root for root in self._roots if root.tag == "a:theme"), None)
        scheme = find(theme, "a:themeElements/a:clrScheme")
        self._scheme = {element.tag: element for element in (() if scheme is None else scheme)}

    def background(self) -> str | None:
        """The colour of the slide, white where nothing says another; None for pictures and the like."""
        for root in self._roots:
            background = find(root, "p:cSld/p:bg")
            if background is not None:
                # The colour of a reference is in it; its number may mean that it is not plain.
                plain = value(background, "p:bgRef", "idx") in (None, "1001")
                fill = find(background, "p:bgPr/a:solidFill")
                return self.of(fill if fill is not None else find(background, "p:bgRef")) if plain else None
        return "FFFFFF"

    def of(self, fill: Element | None) -> str | None:
        """The colour in an element as six digits, None where it is unknown or changed in some way."""
        for colour in () if fill is None else fill:
            if len(colour):
                return None
            if colour.tag == "a:srgbClr":
                return colour.get("val", "").upper()
            if colour.tag == "a:sysClr":
                return colour.get("lastClr", "").upper()
            if colour.tag == "a:schemeClr":
                name = colour.get("val", "")
                return self.of(self._scheme.get(f"a:{self._names.get(name, name)}"))
        return None


def _is_bare(shape: Element) -> bool:
    """Whether a shape shows nothing but its text."""
    if shape.tag in ("p:nvGrpSpPr", "p:grpSpPr", "p:extLst"):
        return True
    properties = find(shape, "p:spPr")
    if shape.tag != "p:sp" or properties is None:
        return shape.tag == "p:sp"
    if any(find(properties, fill) is not None for fill in _FILLS):
        return False
    return find(properties, "a:noFill") is not None or value(shape, "p:style/a:fillRef", "idx") in (None, "0")


def _box(shape: Element) -> _Box | None:
    """Where a shape is; None where its layout says that."""
    transform = find(shape, "p:spPr/a:xfrm")
    offset, extent = find(transform, "a:off"), find(transform, "a:ext")
    if offset is None or extent is None:
        return None
    left, top = integer(offset.get("x"), 0), integer(offset.get("y"), 0)
    return left, top, left + integer(extent.get("cx"), 0), top + integer(extent.get("cy"), 0)


def _may_meet(one: _Box | None, other: _Box | None) -> bool:
    return one is None or other is None or not _apart(one, other)


def _apart(one: _Box, other: _Box) -> bool:
    return one[2] <= other[0] or one[0] >= other[2] or one[3] <= other[1] or one[1] >= other[3]
