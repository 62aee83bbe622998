"""Web pages: their text with a section for each heading."""

import re
from dataclasses import replace

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.text.declared import decode_declared
from hipcli.documents.readers.web.html_markup import Markup, Section
from hipcli.documents.readers.web.html_repair import repaired
from hipcli.documents.readers.web.html_text import read_markup

_CHARSET = re.compile(rb"""<meta[^<>]{0,500}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w.:-]{1,40})""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""^\s{0,99}<\?xml[^<>]{0,200}?encoding\s{0,9}=\s{0,9}["']([\w.:-]{1,40})""")
_LITTLE = 3000  # characters of text or fewer, which a page has that is made by its scripts
_MANY = 20  # times as many of scripts


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The page in `data`, divided at its headings. Raises HipError as decode_declared does."""
    decoded = decode_declared(data, where, declared_charset(data), options.encoding)
    markup = read_page(decoded.text.replace("\0", ""), options)
    return Content(
        kind="html",
        reader="selectolax",
        encoding=decoded.encoding,
        warnings=(*decoded.warnings, *markup_warnings(markup)),
        dropped=markup_dropped(markup),
        unit="section" if any(section.title for section in _titled(markup)) else None,
        pages=tuple(Page(number, item.text, item.title) for number, item in enumerate(_titled(markup), 1)),
    )


def read_page(html: str, options: ReadOptions) -> Markup:
    """The text of a page as `options` want it. One that is mostly hidden keeps that: a script would show it."""
    html = repaired(html)
    markup = read_markup(html, keep_hidden=options.hidden, keep_navigation=options.running_lines)
    if markup.hidden > markup.characters:
        shown = markup.hidden
        markup = replace(read_markup(html, keep_hidden=True, keep_navigation=options.running_lines), shown=shown)
    if markup.navigation and not any(section.text.strip() for section in markup.sections):
        return read_markup(html, keep_hidden=options.hidden, keep_navigation=True)
    return markup


def joined_text(markup: Markup) -> str:
    """All sections in one text, each below its title."""
    return "\n\n".join(
        part for section in markup.sections for part in (section.title, section.text.strip("\n")) if part
    )


def declared_charset(data: bytes) -> str | None:
    """The encoding that the page says it is in."""
    start = data[:8192]
    found = _CHARSET.search(start) or _XML_ENCODING.search(start)
    return found[1].decode("ascii", "replace") if found else None


def markup_warnings(markup: Markup) -> tuple[str, ...]:
    """What is not read of a page."""
    warnings = []
    if markup.shown:
        warnings.append(f"hides most of its text ({_characters(markup.shown)}) at first; it is read.")
    if markup.characters < _LITTLE and markup.scripts > _MANY * markup.characters:
        warnings.append("has little text of its own: its scripts, which are not run, may make the rest.")
    for count, one, several in (
        (markup.pictures, "picture without a text in its place", "pictures without a text in their place"),
        (markup.frames, "page embedded in a frame", "pages embedded in frames"),
        (markup.media, "embedded sound, film or object", "embedded sounds, films or objects"),
    ):
        if count:
            warnings.append(f"{count:,} {one} is not read." if count == 1 else f"{count:,} {several} are not read.")
    return tuple(warnings)


def markup_dropped(markup: Markup) -> tuple[str, ...]:
    """What was left out of a page on purpose."""
    dropped = []
    if markup.hidden:
        dropped.append(f"{_characters(markup.hidden)} that a browser would hide left out; --hidden keeps them.")
    if markup.navigation:
        dropped.append(f"{_characters(markup.navigation)} of navigation left out; --keep-running-lines keeps them.")
    return tuple(dropped)


def _characters(count: int) -> str:
    return f"{count:,} character" if count == 1 else f"{count:,} characters"


def _titled(markup: Markup) -> list[Section]:
    """The sections with the title of the page, unless that is a heading, too; and some text where all is headings."""
    sections = list(markup.sections)
    if not any(section.text.strip() for section in sections):
        sections = [Section(None, "\n".join(section.title or "" for section in sections))]
    headings = {section.title for section in sections}
    if markup.title is None or markup.title in headings:
        return sections
    if sections[0].title is None:
        return [Section(markup.title, sections[0].text), *sections[1:]]
    return [Section(None, markup.title), *sections]
