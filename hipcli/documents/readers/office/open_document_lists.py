"""The marks before list items and the numbers of headings in OpenDocument text."""

from xml.etree.ElementTree import Element

from hipcli.documents.readers.office.numerals import integer, letters, roman

_NUMBERED = ("text:list-level-style-number", "text:outline-level-style")
_BULLET = "text:list-level-style-bullet"
_MOST_LEVELS = 10


class OpenLists:
    """Counts list items and headings: ask in the order of the document."""

    def __init__(self, roots: list[Element]) -> None:
        self._levels: dict[str, dict[int, Element]] = {}
        for root in roots:
            for style in root.iter("text:list-style"):
                self._levels[style.get("style:name", "")] = _by_level(style)
            for style in root.iter("text:outline-style"):
                self._levels[""] = _by_level(style)
        self._counters: dict[tuple[str, int], int] = {}

    def begin(self, style: str, level: int, element: Element) -> None:
        """A list begins, which may count on from the one before."""
        continues = element.get("text:continue-numbering") == "true" or element.get("text:continue-list")
        if not continues:
            for deeper in range(level, _MOST_LEVELS + 1):
                self._counters.pop((style, deeper), None)

    def mark(self, style: str, level: int, item: Element) -> str:
        """What stands before an item, indented by its level."""
        definition = self._levels.get(style, {}).get(level)
        if definition is None or definition.tag == _BULLET:
            return "  " * (min(level, _MOST_LEVELS) - 1) + "- "
        number = self._count(style, level, definition, item.get("text:start-value"))
        return "  " * (min(level, _MOST_LEVELS) - 1) + (f"{number} " if number else "")

    def heading(self, element: Element, level: int) -> str:
        """The number of a heading with a space after it; "" where headings have none."""
        definition = self._levels.get("", {}).get(level)
        if definition is None or element.get("text:is-list-header") == "true":
            return ""
        number = self._count("", level, definition, element.get("text:start-value"))
        for deeper in range(level + 1, _MOST_LEVELS + 1):
            self._counters.pop(("", deeper), None)
        return f"{number} " if number else ""

    def _count(self, style: str, level: int, definition: Element, restart: str | None) -> str:
        start = integer(definition.get("text:start-value"), 1)
        key = (style, level)
        self._counters[key] = integer(restart, start) if restart else self._counters.get(key, start - 1) + 1
        if not definition.get("style:num-format"):
            return ""
        shown = min(integer(definition.get("text:display-levels"), 1), level)
        numbers = []
        for outer in range(level - shown + 1, level + 1):
            kind = self._levels[style].get(outer, definition).get("style:num-format", "")
            if kind:
                numbers.append(_format(self._counters.get((style, outer), 1), kind))
        return definition.get("style:num-prefix", "") + ".".join(numbers) + definition.get("style:num-suffix", "")


def _by_level(style: Element) -> dict[int, Element]:
    return {
        integer(level.get("text:level"), 1): level for level in style if level.tag == _BULLET or level.tag in _NUMBERED
    }


def _format(value: int, kind: str) -> str:
    if kind in ("a", "A"):
        return letters(value) if kind == "a" else letters(value).upper()
    if kind in ("i", "I"):
        return roman(value) if kind == "i" else roman(value).upper()
    return str(value)
