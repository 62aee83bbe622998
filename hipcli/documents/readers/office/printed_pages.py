"""Headers and footers of a sheet, which are seen where it is printed."""

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

_KINDS = ("header", "footer")
# Codes: a font in quotes, a size, a colour, the parts of the line, what is filled in when it is printed, an ampersand.
_CODE = re.compile(r'&(?:"[^"]*"|K(?:[0-9A-Fa-f]{6}|[0-9]{2}[+-][0-9]{3})|[0-9]{1,3}|.)', re.DOTALL)
_APART = frozenset("LCR")
_FILLED_IN = {"P": "#", "N": "#", "A": "(sheet)", "F": "(file)", "Z": "", "D": "(date)", "T": "(time)"}


def headers_and_footers(element: Element) -> dict[str, list[str]]:
    """Lines for the texts of an `x:headerFooter`, by "header" and "footer"; none for what is only page numbers."""
    found: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for child in element:
        kind = next((kind for kind in _KINDS if child.tag.lower().endswith(kind)), None)
        if kind is not None:
            line = f"[{kind}: {' | '.join(_parts(child.text or ''))}]"
            if any(map(str.isalnum, line[len(kind) + 2 :])) and line not in found[kind]:
                found[kind].append(line)
    return found


def _parts(text: str) -> Iterator[str]:
    """Left, middle and right, where there is any text."""
    parts, end = [""], 0
    for code in _CODE.finditer(text):
        parts[-1] += text[end : code.start()]
        end = code.end()
        letter = code[0][1:]
        if letter.upper() in _APART:
            parts.append("")
        else:
            parts[-1] += "&" if letter == "&" else _FILLED_IN.get(letter.upper(), "")
    parts[-1] += text[end:]
    return filter(None, (" ".join(part.split()) for part in parts))
