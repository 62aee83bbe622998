"""What is mended in HTML before it is parsed: XHTML, which means another thing in places, and hostile nesting."""

import re
from html import escape

_SELF_CLOSED = re.compile(r"<[a-zA-Z][^<>]*/>")
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
# Elements that need their end tag, and so are as deep as they look.
_NESTED = re.compile(
    "<(/?)(?:a|abbr|address|article|aside|b|big|blockquote|center|code|del|details|dialog|dir|div|dl|em|fieldset|figure"
    "|font|footer|form|header|hgroup|i|ins|main|menu|nav|ol|pre|q|s|search|section|small|span|strike|strong|sub"
    r"|summary|sup|u|ul)\b[^<>]*>",
    re.IGNORECASE,
)
_DEEPEST = 1000  # browsers stop at 512; parsing takes time in the square of it


def repaired(html: str) -> str:
    """`html` with CDATA and elements closed at once as HTML writes them, and without the tags of deeper elements."""
    if "<![CDATA[" in html:
        html = _without_cdata(html)
    start = html[:2048]
    if start.lstrip().startswith("<?xml") or "http://www.w3.org/1999/xhtml" in start:
        html = _SELF_CLOSED.sub(_closed, html)
    return _flattened(html)


def _without_cdata(html: str) -> str:
    parts = html.split("<![CDATA[")
    for number, part in enumerate(parts[1:], 1):
        inner, end, rest = part.partition("]]>")
        parts[number] = escape(inner, quote=False) + rest if end else part
    return "".join(parts)


def _closed(match: re.Match[str]) -> str:
    tag = match[0]
    name = re.split(r"[\s/]", tag[1:], maxsplit=1)[0].lower()
    return tag if name.rpartition(":")[2] in _VOID else f"{tag[:-2]}></{name}>"


def _flattened(html: str) -> str:
    depth, kept, start = 0, list[str](), 0
    for match in _NESTED.finditer(html):
        depth += -1 if match[1] else 1
        if depth + bool(match[1]) > _DEEPEST:
            kept.append(html[start : match.start()])
            start = match.end()
        depth = max(depth, 0)
    return " ".join([*kept, html[start:]]) if kept else html
