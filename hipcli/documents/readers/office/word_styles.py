"""What styles and numbering of a Word document say of a paragraph: heading level, list number, hidden text."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from hipcli.documents.readers.office.numerals import integer, letters, roman
from hipcli.documents.readers.office.ooxml import OfficePackage, is_on
from hipcli.documents.readers.office.xml_package import find, find_all, value

_HEADING = re.compile(r"heading ([1-9])")
_BODY_LEVEL = 9  # of an outline
_MOST_LEVELS = 9
_PLACE = re.compile(r"%([1-9])")


class Styles:
    """The styles of a document by id, each with those that it is based on."""

    def __init__(self, root: Element | None) -> None:
        self._styles = {} if root is None else {style.get("w:styleId", ""): style for style in root.iter("w:style")}
        self._default = next((key for key, style in self._styles.items() if _is_default_paragraph(style)), "")

    def of_paragraph(self, properties: Element | None) -> str:
        """The style id of a paragraph with these properties."""
        style = value(properties, "w:pStyle", "w:val")
        return self._default if style is None else style

    def property(self, style: str, path: str) -> Element | None:
        """The property at `path` of a style, or of the nearest one that it is based on and that has it."""
        seen: set[str] = set()
        while style in self._styles and style not in seen:
            seen.add(style)
            found = find(self._styles[style], path)
            if found is not None:
                return found
            style = value(self._styles[style], "w:basedOn", "w:val") or ""
        return None

    def heading_level(self, properties: Element | None) -> int | None:
        """1 to 9 for a heading, 0 for the title of the document, None for other paragraphs."""
        own = find(properties, "w:outlineLvl")
        style = self.of_paragraph(properties)
        outline = own if own is not None else self.property(style, "w:pPr/w:outlineLvl")
        if outline is not None:
            level = integer(outline.get("w:val"), _BODY_LEVEL)
            return level + 1 if level < _BODY_LEVEL else None
        name = (value(self._styles.get(style), "w:name", "w:val") or style).lower()
        found = _HEADING.fullmatch(name)
        return int(found[1]) if found else 0 if name == "title" else None

    def is_hidden(self, run: Element | None, paragraph_style: str) -> bool:
        """Whether text is hidden: by the properties of its run, else by the style of either."""
        own = find(run, "w:vanish")
        if own is not None:
            return is_on(own)
        found = self.property(value(run, "w:rStyle", "w:val") or "", "w:rPr/w:vanish")
        return is_on(found if found is not None else self.property(paragraph_style, "w:rPr/w:vanish"))


@dataclass
class _List:
    """Levels of one abstract list, and where its counters stand. Lists that share it count on together."""

    levels: dict[int, Element]
    counters: dict[int, int] = field(default_factory=dict)


class Lists:
    """The marks before paragraphs of lists: ask for them in the order of the document."""

    def __init__(self, root: Element | None, styles: Styles) -> None:
        self._styles = styles
        self._abstract: dict[str, _List] = {}
        self._numbers: dict[str, Element] = {}
        self._restarted: dict[str, set[int]] = defaultdict(set)
        if root is not None:
            for element in root.iter("w:abstractNum"):
                levels = {integer(level.get("w:ilvl"), 0): level for level in find_all(element, "w:lvl")}
                self._abstract[element.get("w:abstractNumId", "")] = _List(levels)
            self._numbers = {element.get("w:numId", ""): element for element in root.iter("w:num")}

    def mark(self, properties: Element | None) -> str:
        """What stands before a paragraph: "- ", "2.1. ", indented by its level; "" outside lists."""
        own = find(properties, "w:numPr")
        style = self._styles.of_paragraph(properties)
        inherited = self._styles.property(style, "w:pPr/w:numPr")
        number_id = value(own, "w:numId", "w:val") or value(inherited, "w:numId", "w:val")
        number = self._numbers.get(number_id or "")
        if number is None:
            return ""
        level = integer(value(own, "w:ilvl", "w:val") or value(inherited, "w:ilvl", "w:val"), -1)
        abstract = self._abstract.get(value(number, "w:abstractNumId", "w:val") or "")
        if abstract is None:
            return ""
        if level < 0:
            level = _level_of_style(abstract, style)
        return self._count(abstract, number_id or "", number, min(level, _MOST_LEVELS - 1))

    def _count(self, numbered: _List, number_id: str, number: Element, level: int) -> str:
        overrides = {integer(found.get("w:ilvl"), 0): found for found in find_all(number, "w:lvlOverride")}
        override = overrides.get(level)
        own = find(override, "w:lvl")
        definition = own if own is not None else numbered.levels.get(level)
        if definition is None:
            return ""
        start = integer(value(definition, "w:start", "w:val"), 0)
        restart = None if override is None else value(override, "w:startOverride", "w:val")
        counters = numbered.counters
        if restart is not None and level not in self._restarted[number_id]:
            self._restarted[number_id].add(level)
            counters[level] = integer(restart, start)
        else:
            counters[level] = counters.get(level, start - 1) + 1
        for deeper in [key for key in counters if key > level]:
            del counters[deeper]
        kind = value(definition, "w:numFmt", "w:val") or "decimal"
        text = value(definition, "w:lvlText", "w:val") or ""
        if kind == "bullet":
            mark = "-" if text.strip() else ""
        else:
            as_figures = is_on(find(definition, "w:isLgl"))

            def place(match: re.Match[str]) -> str:
                outer = int(match[1]) - 1
                other = definition if outer == level else numbered.levels.get(outer, definition)
                number = counters.get(outer, integer(value(other, "w:start", "w:val"), 1))
                return _format(number, "decimal" if as_figures else value(other, "w:numFmt", "w:val") or "decimal")

            mark = _PLACE.sub(place, text)
        return "  " * level + mark + " " if mark.strip() else ""


def _is_default_paragraph(style: Element) -> bool:
    return style.get("w:type") == "paragraph" and style.get("w:default") in ("1", "true", "on")


def _level_of_style(numbered: _List, style: str) -> int:
    return next((level for level, found in numbered.levels.items() if value(found, "w:pStyle", "w:val") == style), 0)


def _format(value: int, kind: str) -> str:
    if kind in ("lowerLetter", "upperLetter"):
        return letters(value).upper() if kind.startswith("upper") else letters(value)
    if kind in ("lowerRoman", "upperRoman"):
        return roman(value).upper() if kind.startswith("upper") else roman(value)
    if kind == "none":
        return ""
    return f"{value:02}" if kind == "decimalZero" else str(value)


def styles_and_lists(package: OfficePackage, part: str) -> tuple[Styles, Lists]:
    """Those of the document whose main part is `part`."""

    def root(kind: str) -> Element | None:
        return next(map(package.xml, package.related(part, kind)), None)

    styles = Styles(root("styles"))
    return styles, Lists(root("numbering"), styles)
