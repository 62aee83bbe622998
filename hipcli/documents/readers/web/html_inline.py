"""Elements of HTML that stand within lines: links, pictures, formulas, fields of forms, and what is embedded."""

import re
from functools import partial

from selectolax.lexbor import LexborNode

from hipcli.documents.readers.web.flowing_text import FlowingText
from hipcli.documents.readers.web.html_elements import (
    Attributes,
    formula_source,
    input_text,
    picture_text,
    select_texts,
)
from hipcli.documents.readers.web.html_rendering import Enter, Leave, Rendering, around, pass_over

_TARGET = re.compile(r"(?:https?|ftp|mailto|tel):", re.IGNORECASE)
_PLAIN_SUPERSCRIPTS = ("[", "(", "st", "nd", "rd", "th")


def _link(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    return partial(_leave_link, to, (attributes.get("href") or "").strip(), to.out, to.out.mark)


def _leave_link(to: Rendering, href: str, out: FlowingText, mark: int) -> None:
    text = to.out.since(mark if to.out is out else 0)
    to.link_characters += len(text)
    target = re.sub(r"^(mailto|tel):", "", href)
    if not _TARGET.match(href) or to.headings or _bare(target) in text:
        return
    to.out.add(f" ({target})" if text else f"({target})")
    to.target_characters += len(target) + 3


def _picture(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    text = picture_text(attributes)
    to.out.add(f" [image: {text}] " if text else "")
    to.pictures += text is None
    return None


def _superscript(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    before = to.out.last
    to.push()
    return partial(_leave_superscript, to, before)


def _leave_superscript(to: Rendering, before: str) -> None:
    text = to.pop()
    if before.isspace() or not before or not text or text.lower().startswith(_PLAIN_SUPERSCRIPTS):
        to.out.add(text)
    else:
        to.out.add(f"^{text}" if text.lstrip("+-−").isalnum() else f"^({text})")


def _reading(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    return around(lambda: to.out.add("("), lambda: to.out.add(")"))


def _button(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    return around(to.out.space, lambda: to.out.space())


def _formula(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    source = formula_source(node)
    to.out.add(source or "")
    return pass_over if source else None


def _root(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    return around(lambda: to.out.add("sqrt(" if node.tag == "msqrt" else "root("), lambda: to.out.add(")"))


def _input(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.out.add(f" {input_text(attributes)} ")
    return None


def _select(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    shown, left_out = select_texts(node)
    to.out.add(f" {', '.join(shown)} ")
    to.hidden += sum(map(len, left_out))
    return pass_over


def _frame(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.frames += bool(attributes.get("src") or attributes.get("srcdoc"))
    return pass_over


def _embedded(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.media += 1
    return None


def _bare(target: str) -> str:
    return re.sub(r"^https?://(?:www\.)?", "", target).rstrip("/")


INLINE: dict[str, Enter] = {
    **dict.fromkeys(("area", "image", "img"), _picture),
    **dict.fromkeys(("audio", "embed", "object", "video"), _embedded),
    **dict.fromkeys(("button", "mtd"), _button),
    **dict.fromkeys(("frame", "iframe"), _frame),
    **dict.fromkeys(("mroot", "msqrt"), _root),
    "a": _link,
    "input": _input,
    "math": _formula,
    "rt": _reading,
    "select": _select,
    "sup": _superscript,
}
