"""Equations of Office (OMML) and OpenDocument (MathML) as a line of text: (a+b)/(c), x^2, √(x), ∑_(i=1)^n."""

from collections.abc import Callable
from xml.etree.ElementTree import Element

from hipcli.documents.readers.office.xml_package import find, find_all, text_of


def equation(element: Element) -> str:
    """The text of an `m:oMath`, or of any element inside one."""
    write = _WRITERS.get(element.tag)
    if write is not None:
        return write(element)
    if element.tag == "m:t" or element.tag == "w:t":
        return element.text or ""
    return "" if element.tag.endswith("Pr") else "".join(map(equation, element))


def _part(element: Element, name: str) -> str:
    child = find(element, name)
    return "" if child is None else equation(child)


def _group(text: str) -> str:
    return text if len(text) <= 1 or text.isdigit() or text.isalpha() else f"({text})"


def _property(element: Element, name: str, default: str) -> str:
    found = find(element, f"{element.tag}Pr/{name}")
    return default if found is None else found.get("m:val", "")


def _fraction(element: Element) -> str:
    over = f"{_group(_part(element, 'm:num'))}/{_group(_part(element, 'm:den'))}"
    return f"({_part(element, 'm:num')} over {_part(element, 'm:den')})" if _stacked(element) else over


def _stacked(element: Element) -> bool:
    return _property(element, "m:type", "bar") == "noBar"


def _script(element: Element) -> str:
    below, above = _part(element, "m:sub"), _part(element, "m:sup")
    scripts = (f"_{_group(below)}" if below else "") + (f"^{_group(above)}" if above else "")
    base = _part(element, "m:e")
    return f"{scripts}{base}" if element.tag == "m:sPre" else f"{_group(base)}{scripts}"


def _radical(element: Element) -> str:
    degree = _part(element, "m:deg")
    return f"{f'root {degree} of ' if degree else '√'}({_part(element, 'm:e')})"


def _n_ary(element: Element) -> str:
    below, above = _part(element, "m:sub"), _part(element, "m:sup")
    sign = _property(element, "m:chr", "∫") + (f"_{_group(below)}" if below else "")
    return f"{sign}{f'^{_group(above)}' if above else ''} {_part(element, 'm:e')}"


def _delimiter(element: Element) -> str:
    start, end = _property(element, "m:begChr", "("), _property(element, "m:endChr", ")")
    separator = _property(element, "m:sepChr", "|")
    return start + separator.join(map(equation, find_all(element, "m:e"))) + end


def _function(element: Element) -> str:
    return f"{_part(element, 'm:fName')} {_part(element, 'm:e')}"


def _limit(element: Element) -> str:
    return f"{_part(element, 'm:e')}{'_' if element.tag == 'm:limLow' else '^'}{_group(_part(element, 'm:lim'))}"


def _matrix(element: Element) -> str:
    return "; ".join(", ".join(map(equation, find_all(row, "m:e"))) for row in find_all(element, "m:mr"))


def _lines(element: Element) -> str:
    return "; ".join(map(equation, find_all(element, "m:e")))


def _accent(element: Element) -> str:
    return _part(element, "m:e") + _property(element, "m:chr", "\u0302")


_WRITERS: dict[str, Callable[[Element], str]] = {
    "m:f": _fraction,
    "m:sSub": _script,
    "m:sSup": _script,
    "m:sSubSup": _script,
    "m:sPre": _script,
    "m:rad": _radical,
    "m:nary": _n_ary,
    "m:d": _delimiter,
    "m:func": _function,
    "m:limLow": _limit,
    "m:limUpp": _limit,
    "m:m": _matrix,
    "m:eqArr": _lines,
    "m:acc": _accent,
}


def mathml(element: Element) -> str:
    """A formula in MathML as a line of text, from the source that its author wrote where it is there."""
    source = text_of(element, "math:annotation").strip()
    if source:
        return source
    name = element.tag.partition(":")[2]
    parts = [mathml(child) for child in element]
    if name == "mfrac" and len(parts) == 2:
        return f"({parts[0]})/({parts[1]})"
    if name == "msqrt":
        return f"√({''.join(parts)})"
    if name in ("msup", "msub") and len(parts) == 2:
        return f"{parts[0]}{'^' if name == 'msup' else '_'}({parts[1]})"
    if name in ("msubsup", "munderover") and len(parts) == 3:
        return f"{parts[0]}_({parts[1]})^({parts[2]})"
    return (element.text or "").strip() + ("; " if name == "mtable" else " " if name == "mtr" else "").join(parts)
