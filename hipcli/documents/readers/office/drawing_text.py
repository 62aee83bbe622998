"""Text of drawings (DrawingML): text boxes, tables, charts and SmartArt of slides, documents and sheets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from xml.etree.ElementTree import Element

from hipcli.documents.readers.office.equations import equation
from hipcli.documents.readers.office.numerals import integer, letters, roman
from hipcli.documents.readers.office.ooxml import OfficePackage, Relationship, children, descendants, with_address
from hipcli.documents.readers.office.xml_package import find, text_of

# Fields that count slides: the mark above a slide has its number.
_SLIDE_NUMBER = "slidenum"
_SHAPES = {"sp", "grpSp", "pic", "graphicFrame", "cxnSp", "twoCellAnchor", "oneCellAnchor", "absoluteAnchor"}


@dataclass
class Drawing:
    """What the drawings of a part hold. Hidden shapes are read only with `hidden`."""

    package: OfficePackage
    part: str
    hidden: bool = False
    chart_values: bool = True
    pictures: int = 0
    media: int = 0
    hidden_shapes: int = 0
    relationships: dict[str, Relationship] = field(init=False)

    def __post_init__(self) -> None:
        self.relationships = self.package.relationships(self.part)

    def shape(self, element: Element, wanted: Callable[[Element], bool] = lambda _: True) -> list[str]:
        """The lines of text of a shape, group, picture or graphic frame, and of the shapes inside it.

        Only shapes that are `wanted`; groups always are.
        """
        name = element.tag.partition(":")[2]
        if name in ("sp", "pic", "graphicFrame", "cxnSp") and not wanted(element):
            return []
        properties = next(descendants(element, *(f"{prefix}:cNvPr" for prefix in ("p", "xdr", "wps", "pic"))), None)
        if properties is not None and properties.get("hidden") in ("1", "true"):
            self.hidden_shapes += 1
            if not self.hidden:
                return []
        lines: list[str] = []
        if name == "pic":
            self._count_picture(element)
            lines += described(properties)
        for child in children(element):
            kind = child.tag.partition(":")[2]
            if kind in _SHAPES:
                lines += self.shape(child, wanted)
            elif kind == "txBody":
                lines += self.body(child)
            elif kind == "graphic":
                lines += self.graphic(child)
        return lines

    def graphic(self, element: Element) -> list[str]:
        """The lines of an `a:graphic`: a table, chart or SmartArt."""
        lines: list[str] = []
        for found in descendants(element, "a:tbl", "c:chart", "dgm:relIds"):
            if found.tag == "a:tbl":
                lines += self._table(found)
            elif found.tag == "c:chart":
                lines += self._related(found.get("r:id", ""), partial(chart, with_values=self.chart_values))
            elif found.tag == "dgm:relIds":
                lines += self._related(found.get("r:dm", ""), diagram)
        return lines

    def body(self, element: Element) -> list[str]:
        """The lines of a text body, lists indented and numbered."""
        lines = []
        counters: dict[int, int] = {}
        for paragraph in element.iter("a:p"):
            properties = find(paragraph, "a:pPr")
            level = integer(None if properties is None else properties.get("lvl"), 0)
            text = self.paragraph(paragraph).strip()
            if not text:
                continue
            numbered = find(properties, "a:buAutoNum")
            counters = {key: value for key, value in counters.items() if key < level + (numbered is not None)}
            mark = ""
            if numbered is not None:
                counters[level] = counters.get(level, integer(numbered.get("startAt"), 1) - 1) + 1
                mark = _list_number(numbered.get("type", ""), counters[level]) + " "
            elif properties is not None and find(properties, "a:buChar") is not None:
                mark = "- "
            indent = "  " * min(level, 8)
            lines += [indent + (mark if first == 0 else "") + line for first, line in enumerate(text.split("\n"))]
        return lines

    def paragraph(self, element: Element) -> str:
        """The text of an `a:p`."""
        parts = []
        for child in children(element):
            if child.tag == "a:br":
                parts.append("\n")
            elif child.tag == "a:r" or (child.tag == "a:fld" and child.get("type") != _SLIDE_NUMBER):
                parts.append(self._run(child))
            elif child.tag.endswith("}m") or child.tag.startswith("m:"):
                parts.append(equation(child))
        return "".join(parts).replace("\v", "\n")

    def _run(self, element: Element) -> str:
        text = text_of(element, "a:t")
        link = find(element, "a:rPr/a:hlinkClick")
        target = None if link is None else self.relationships.get(link.get("r:id", ""))
        return with_address(text, target.target) if target is not None and target.external else text

    def _table(self, table: Element) -> list[str]:
        lines = []
        for row in table.iter("a:tr"):
            cells = [
                " / ".join(line.strip() for line in self.body(cell))
                for cell in row.iter("a:tc")
                if cell.get("hMerge") not in ("1", "true") or text_of(cell, "a:t")
            ]
            lines.append(" | ".join(cells))
        return lines

    def _count_picture(self, element: Element) -> None:
        if next(descendants(element, "a:videoFile", "a:audioFile"), None) is not None:
            self.media += 1
        else:
            self.pictures += 1

    def _related(self, identifier: str, read: Callable[[Element], list[str]]) -> list[str]:
        target = self.relationships.get(identifier)
        if target is None or target.external or target.target not in self.package:
            return []
        return read(self.package.xml(target.target))


def chart(root: Element, with_values: bool = True) -> list[str]:
    """The lines of a chart: titles, then a table with a row for each category and a column for each series."""
    lines = ["[chart]"]
    for title in root.iter("c:title"):
        text = " ".join(text_of(p, "a:t") for p in title.iter("a:p"))
        text = text or text_of(title, "c:v")
        if text.strip():
            lines.append(text.strip())
    lines += filter(None, (text_of(label, "a:t").strip() for label in root.iter("c:dLbl")))
    columns: list[dict[int, str]] = []
    names = []
    categories: dict[int, str] = {}
    for series in root.iter("c:ser") if with_values else ():
        names.append(text_of(find(series, "c:tx"), "c:v"))
        categories.update(_points(series, "c:cat") or _points(series, "c:xVal"))
        columns.append(_points(series, "c:val") or _points(series, "c:yVal"))
    if any(columns):
        lines.append(" | ".join(["", *names]).strip() if any(names) else "")
        for index in sorted(set(categories).union(*columns)):
            lines.append(" | ".join([categories.get(index, ""), *(column.get(index, "") for column in columns)]))
    return [line for line in lines if line] if len(lines) > 1 else []


def diagram(root: Element) -> list[str]:
    """The texts of SmartArt in the order of its data."""
    texts = []
    for point in root.iter("dgm:pt"):
        for paragraph in point.iter("a:p"):
            text = text_of(paragraph, "a:t").strip()
            if text and point.get("type", "node") in ("node", "asst"):
                texts.append(text)
    return texts


def described(properties: Element | None) -> list[str]:
    """What an author says of a picture for those who cannot see it."""
    text = "" if properties is None else " ".join(properties.get("descr", "").split())
    return [f"[picture: {text}]"] if text else []


def _points(series: Element, name: str) -> dict[int, str]:
    """The values of an axis or series by index. A category may have several levels; all are read."""
    found: dict[int, str] = {}
    values = find(series, name)
    if values is not None:
        for point in values.iter("c:pt"):
            index = integer(point.get("idx"), 0)
            text = text_of(point, "c:v").strip()
            found[index] = f"{text} {found[index]}" if index in found else text
    return found


def _list_number(kind: str, value: int) -> str:
    number = str(value)
    if kind.startswith("alpha"):
        number = letters(value)
        number = number.upper() if kind.startswith("alphaUc") else number
    elif kind.startswith("roman"):
        number = roman(value).upper() if kind.startswith("romanUc") else roman(value)
    if kind.endswith("ParenBoth"):
        return f"({number})"
    return f"{number})" if kind.endswith("ParenR") else f"{number}."
