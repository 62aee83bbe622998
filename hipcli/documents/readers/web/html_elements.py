"""What single elements of HTML say: fields of forms, pictures, formulas, lists; and whether they show at all."""

import re
from collections.abc import Iterator, Mapping

from selectolax.lexbor import LexborNode

from hipcli.documents.readers.office.numerals import integer
from hipcli.documents.readers.web.list_marks import list_mark

Attributes = Mapping[str, str | None]

_UNSEEN = re.compile(r"(?:^|;)\s?(?:display\s?:\s?none|visibility\s?:\s?hidden)", re.IGNORECASE)
# What stands between the parts of a formula.
_BETWEEN = {
    "mfrac": "/", "msup": "^", "msub": "_", "msubsup": "_^", "mover": "^", "munder": "_", "munderover": "_^",
    "mroot": ",",
}  # fmt: skip


def is_hidden(node: LexborNode, tag: str, attributes: Attributes) -> bool:
    """Whether a browser does not show the element, as far as it says so itself."""
    if "hidden" in attributes and attributes["hidden"] != "until-found":
        return True
    if attributes.get("class") == "katex-html":
        return node.prev is not None and node.prev.is_element_node  # a formula's looks, after its source
    if tag == "dialog" and "open" not in attributes:
        return True
    return _UNSEEN.search(" ".join((attributes.get("style") or "").split())) is not None


def picture_text(attributes: Attributes) -> str | None:
    """What stands in place of a picture; "" for mere decoration, None if it says nothing."""
    text = " ".join((attributes.get("alt") or attributes.get("title") or "").split())
    decoration = "alt" in attributes or {attributes.get("width"), attributes.get("height")} & {"0", "1"}
    return text or ("" if decoration else None)


def input_text(attributes: Attributes) -> str:
    """What a field shows; "" for one that shows nothing of what it holds."""
    kind = (attributes.get("type") or "text").lower()
    if kind in ("checkbox", "radio"):
        return "[x]" if "checked" in attributes else "[ ]"
    return "" if kind in ("hidden", "password", "file") else attributes.get("value") or ""


def select_texts(node: LexborNode) -> tuple[list[str], list[str]]:
    """The choices that a field shows, and those that it does not."""
    options = node.css("option")
    chosen = [option for option in options if "selected" in option.attributes]
    shown = chosen or (options if "multiple" in node.attributes else options[:1])
    marked = {option.mem_id for option in shown}
    texts = [(" ".join(option.text().split()), option.mem_id in marked) for option in options]
    return [text for text, seen in texts if seen], [text for text, seen in texts if not seen]


def item_marks(node: LexborNode | None, start: int | None = None) -> Iterator[str]:
    """The marks of the items of a list; from `start` on, if it is numbered."""
    if node is None or node.tag != "ol":
        return iter(lambda: "- ", "")
    attributes = node.attributes
    number = integer(attributes.get("start"), 1) if start is None else start
    return _numbered(attributes.get("type") or "1", number, -1 if "reversed" in attributes else 1)


def _numbered(kind: str, number: int, step: int) -> Iterator[str]:
    while True:
        yield f"{list_mark(kind, number)}. "
        number += step


def formula_source(node: LexborNode) -> str | None:
    """A formula as TeX or in words, if its author gave that."""
    source = node.css_first('annotation[encoding="application/x-tex"]')
    text = (source.text(deep=False) if source is not None else None) or node.attributes.get("alttext")
    return f"${text.strip()}$" if text else None


def is_formula_part(node: LexborNode) -> bool:
    """Whether the element is a numerator, an exponent or the like."""
    return node.parent is not None and node.parent.tag in _BETWEEN


def sign_before(node: LexborNode) -> str:
    """What stands between this part of a formula and the one before it."""
    signs = _BETWEEN[(node.parent.tag if node.parent is not None else None) or "mfrac"]
    count, before = 0, node.prev
    while before is not None and count < len(signs):
        count += before.is_element_node
        before = before.prev
    return signs[count - 1] if count else ""


def has_several(node: LexborNode) -> bool:
    """Whether a part of a formula has parts itself, and needs brackets."""
    return node.tag == "mrow" and node.first_child is not None and node.first_child.next is not None
