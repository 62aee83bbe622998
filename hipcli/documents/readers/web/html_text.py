"""HTML to sections of text: what a browser would show, without its looks."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from selectolax.lexbor import LexborHTMLParser, LexborNode

from hipcli.documents.readers.office.numerals import integer
from hipcli.documents.readers.web.flowing_text import FlowingText
from hipcli.documents.readers.web.html_elements import (
    Attributes,
    formula_source,
    has_several,
    input_text,
    is_formula_part,
    is_hidden,
    item_marks,
    picture_text,
    select_texts,
    sign_before,
)
from hipcli.documents.readers.web.html_markup import Markup, Section
from hipcli.documents.readers.web.html_tables import Table

_Leave = Callable[[], None]

_NO_TEXT = {"script", "style", "noframes", "rp", "datalist", "desc", "metadata", "annotation", "annotation-xml"}
_PARAGRAPHS = {
    "address", "article", "aside", "dl", "fieldset", "figure", "footer", "form", "header", "hgroup", "hr",
    "main", "nav", "p", "section",
}  # fmt: skip
_LINES = {
    "body", "caption", "center", "details", "dialog", "div", "dt", "figcaption", "legend", "mtr", "option",
    "summary", "title", "tr",
}  # fmt: skip
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_AROUND = {"del": "~~", "s": "~~", "strike": "~~", "q": '"'}
_MEDIA = {"audio", "video", "embed", "object"}
# Where a line may or may not be broken, which is nothing to read; and the space that never breaks.
_UNPRINTED = {0xAD: None, 0x200B: None, 0xFEFF: None, 0xA0: " "}
_TARGET = re.compile(r"(?:https?|ftp|mailto|tel):", re.IGNORECASE)
_PLAIN_SUPERSCRIPTS = ("[", "(", "st", "nd", "rd", "th")
_MOST_NESTED_TABLES = 8  # cells further in are lines, so that text is not copied from cell to cell without end
_NAVIGATION_SHARE = 0.8  # of the text of <nav> that must be links, or else it is kept


def read_markup(
    html: str, titles: Mapping[str, str] | None = None, keep_hidden: bool = False, keep_navigation: bool = False
) -> Markup:
    """The text of `html`. A section begins at each heading, or, if there are `titles`, where an element has its id.

    With `titles`, headings are lines of the text. Text in <nav> that is all links is left out, and so is text that
    a browser hides, unless they are to be kept.
    """
    renderer = _Renderer(titles, keep_hidden, keep_navigation)
    renderer.walk(LexborHTMLParser(html.encode("utf-8", "replace")).root)
    return renderer.result()


class _Renderer:
    """Walks a document once. A method that enters an element returns what is to be done where it ends."""

    def __init__(
        self, titles: Mapping[str, str] | None, keep_hidden: bool, keep_navigation: bool, in_template: bool = False
    ) -> None:
        self._titles = titles
        self._in_template = in_template
        self._keep_hidden = keep_hidden
        self._keep_navigation = keep_navigation
        self._out = FlowingText()
        self._outer: list[FlowingText] = []  # the texts in which those of cells, headings and the like will stand
        self._sections: list[Section] = []
        self._section_title: str | None = None
        self._next_title: str | None = None  # of a section that begins as soon as no cell is open
        self._title: str | None = None
        self._hidden = self._navigation = self._scripts = self._pictures = self._frames = self._media = 0
        self._link_characters = self._target_characters = 0
        self._verbatim = self._headings = 0
        self._lists: list[Iterator[str]] = []
        self._tables: list[Table] = []
        self._enter: dict[str, Callable[[LexborNode, Attributes], _Leave | None]] = {
            **dict.fromkeys(_HEADINGS, self._heading),
            **dict.fromkeys(_MEDIA, self._embedded),
            "a": self._link,
            "area": self._picture,
            "blockquote": self._quotation,
            "br": self._break,
            "button": self._button,
            "dd": self._description,
            "defs": self._unseen,
            "frame": self._frame,
            "iframe": self._frame,
            "image": self._picture,
            "img": self._picture,
            "input": self._input,
            "li": self._item,
            "math": self._formula,
            "msqrt": self._root,
            "mroot": self._root,
            "mtd": self._button,
            "menu": self._list,
            "ol": self._list,
            "pre": self._preformatted,
            "rt": self._reading,
            "select": self._select,
            "sup": self._superscript,
            "symbol": self._unseen,
            "table": self._table,
            "td": self._cell,
            "template": self._template,
            "textarea": self._preformatted,
            "th": self._cell,
            "title": self._page_title,
            "tr": self._row,
            "ul": self._list,
        }

    def walk(self, root: LexborNode | None) -> None:
        """Render `root` and all below it. No recursion: a hostile tree may be deeper than Python's stack."""
        node, leaves = root, list[_Leave | None]()
        while node is not None:
            inner = None
            if node.is_text_node:
                self._text(node.text_content or "")
            elif node.is_element_node or node is root:
                leave = self._element(node) if node.is_element_node else None
                inner = None if leave is _pass_over else node.first_child
                if inner is not None:
                    leaves.append(leave)
                elif leave is not None:
                    leave()
            while inner is None and node is not None and leaves:
                inner = node.next
                if inner is None:
                    node = node.parent
                    last = leaves.pop()
                    if last is not None:
                        last()
            node = inner

    def result(self) -> Markup:
        self._end_section()
        return Markup(
            self._title,
            tuple(self._sections),
            self._hidden,
            self._navigation,
            self._scripts,
            self._pictures,
            self._frames,
            self._media,
        )

    def _text(self, text: str) -> None:
        if not text.isascii():
            text = text.translate(_UNPRINTED)
        (self._out.add_lines if self._verbatim else self._out.add)(text)

    def _element(self, node: LexborNode) -> _Leave | None:
        # A prefix is that of a namespace, in XHTML.
        tag = (node.tag or "").rpartition(":")[2]
        attributes = node.attributes
        if self._titles:
            for key in ("id", "name"):
                self._next_title = self._titles.get(attributes.get(key) or "", self._next_title)
        if not self._outer and self._next_title is not None:
            self._begin_section(self._next_title)
        if tag in _NO_TEXT:
            self._scripts += len(node.text()) if tag == "script" else 0
            return _pass_over
        if not self._keep_hidden and is_hidden(node, tag, attributes):
            return self._unseen(node, attributes)
        if not self._keep_navigation and (tag == "nav" or attributes.get("role") == "navigation"):
            return self._navigation_links()
        if is_formula_part(node):
            return self._formula_part(node, tag)
        enter = self._enter.get(tag)
        if enter is not None:
            return enter(node, attributes)
        if tag in _PARAGRAPHS:
            return self._around(self._out.block, lambda: self._out.block())
        if tag in _LINES:
            return self._around(self._out.line, lambda: self._out.line())
        if tag in _AROUND:
            return self._around(partial(self._out.add, _AROUND[tag]), lambda: self._out.add(_AROUND[tag]))
        return None

    @staticmethod
    def _around(before: _Leave, after: _Leave) -> _Leave:
        before()
        return after

    def _push(self) -> None:
        self._outer.append(self._out)
        self._out = FlowingText()

    def _pop(self) -> str:
        text = str(self._out)
        self._out = self._outer.pop()
        return text

    # Sections

    def _begin_section(self, title: str | None) -> None:
        self._end_section()
        self._section_title, self._next_title = title, None
        self._out = self._out.following()

    def _end_section(self) -> None:
        text, title = str(self._out), self._section_title
        if title is not None:
            first, _, rest = text.partition("\n")
            text = rest.lstrip("\n") if _words(first) == _words(title) else text
        if text.strip() or title is not None:
            self._sections.append(Section(title, text))

    def _heading(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        if self._titles is not None or self._outer:
            return self._around(self._out.block, lambda: self._out.block())
        self._push()
        self._headings += 1
        return self._leave_heading

    def _leave_heading(self) -> None:
        self._headings -= 1
        title = " ".join(self._pop().split())
        if title:
            self._begin_section(title)

    def _page_title(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        title = " ".join(node.text().split())
        if node.parent is not None and node.parent.tag in ("head", "body", "html"):
            self._title = self._title or title or None
        elif title:
            self._out.add(f"[image: {title}]")
        return _pass_over

    # Text that is left out

    def _unseen(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._push()
        return self._leave_unseen

    def _leave_unseen(self) -> None:
        self._hidden += len(self._pop())

    def _template(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        if self._in_template:
            return _pass_over  # it is among the fragments below
        shown = self._keep_hidden or attributes.get("shadowrootmode") is not None
        fragments = node.template_fragments()
        for fragment in fragments:
            fragments += fragment.template_fragments()
            inner = _Renderer({}, self._keep_hidden, self._keep_navigation, in_template=True)
            inner.walk(fragment)
            for section in inner.result().sections:
                if shown:
                    self._out.block()
                    self._out.add_lines(section.text)
                else:
                    self._hidden += len(section.text)
        return _pass_over

    def _navigation_links(self) -> _Leave:
        self._push()
        return partial(self._leave_navigation, self._link_characters, self._target_characters)

    def _leave_navigation(self, links_before: int, targets_before: int) -> None:
        text = self._pop()
        links = self._link_characters - links_before
        characters = len(text) - (self._target_characters - targets_before)
        if links >= _NAVIGATION_SHARE * characters:
            self._navigation += characters
        else:
            self._out.block()
            self._out.add_lines(text)
        self._out.block()

    # Blocks

    def _preformatted(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._out.block()
        self._verbatim += 1
        return self._leave_preformatted

    def _leave_preformatted(self) -> None:
        self._verbatim -= 1
        self._out.block()

    def _quotation(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._out.block()
        return self._indented("> ", "> ", self._out.block)

    def _description(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._out.line()
        return self._indented("  ", "  ", self._out.line)

    def _indented(self, first: str, rest: str, after: _Leave) -> _Leave:
        self._out.indent(first, rest)
        breaks = 2 if after == self._out.block else 1

        def leave() -> None:
            self._out.dedent()
            self._out.line(breaks)

        return leave

    def _list(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        breaks = 1 if self._lists else 2
        self._out.line(breaks)
        self._lists.append(item_marks(node))

        def leave() -> None:
            self._lists.pop()
            self._out.line(breaks)

        return leave

    def _item(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._out.line()
        if "value" in attributes and self._lists:
            self._lists[-1] = item_marks(node.parent, integer(attributes["value"], 1))
        mark = next(self._lists[-1]) if self._lists else "- "
        return self._indented(mark, " " * min(len(mark), 4), self._out.line)

    def _break(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._out.newline()
        return None

    # Tables

    def _table(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._out.block()
        self._tables.append(Table())
        return self._leave_table

    def _leave_table(self) -> None:
        self._tables.pop()
        self._out.block()

    def _row(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._out.line()
        return self._leave_row

    def _leave_row(self) -> None:
        if self._tables:
            for block in self._tables[-1].end_row():
                self._out.line()
                self._out.add_lines(block)
        self._out.line()

    def _cell(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        if not 0 < len(self._tables) <= _MOST_NESTED_TABLES:
            return self._around(self._out.line, lambda: self._out.line())
        self._push()
        columns, rows = integer(attributes.get("colspan"), 1), integer(attributes.get("rowspan"), 1)
        return partial(self._leave_cell, columns, rows)

    def _leave_cell(self, columns: int, rows: int) -> None:
        self._tables[-1].add_cell(self._pop(), columns, rows)

    # Within lines

    def _link(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        return partial(self._leave_link, (attributes.get("href") or "").strip(), self._out, self._out.mark)

    def _leave_link(self, href: str, out: FlowingText, mark: int) -> None:
        text = self._out.since(mark if self._out is out else 0)
        self._link_characters += len(text)
        target = re.sub(r"^(mailto|tel):", "", href)
        if not _TARGET.match(href) or self._headings or _bare(target) in text:
            return
        self._out.add(f" ({target})" if text else f"({target})")
        self._target_characters += len(target) + 3

    def _picture(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        text = picture_text(attributes)
        self._out.add(f" [image: {text}] " if text else "")
        self._pictures += text is None
        return None

    def _superscript(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        before = self._out.last
        self._push()
        return partial(self._leave_superscript, before)

    def _leave_superscript(self, before: str) -> None:
        text = self._pop()
        if before.isspace() or not before or not text or text.lower().startswith(_PLAIN_SUPERSCRIPTS):
            self._out.add(text)
        else:
            self._out.add(f"^{text}" if text.lstrip("+-−").isalnum() else f"^({text})")

    def _reading(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        return self._around(lambda: self._out.add("("), lambda: self._out.add(")"))

    def _button(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        return self._around(self._out.space, lambda: self._out.space())

    # Formulas

    def _formula(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        source = formula_source(node)
        self._out.add(source or "")
        return _pass_over if source else None

    def _formula_part(self, node: LexborNode, tag: str) -> _Leave | None:
        self._out.add(sign_before(node))
        if has_several(node):
            return self._around(lambda: self._out.add("("), lambda: self._out.add(")"))
        enter = self._enter.get(tag)
        return enter(node, node.attributes) if enter is not None else None

    def _root(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        return self._around(
            lambda: self._out.add("sqrt(" if node.tag == "msqrt" else "root("), lambda: self._out.add(")")
        )

    # Forms and what is embedded

    def _input(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._out.add(f" {input_text(attributes)} ")
        return None

    def _select(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        shown, left_out = select_texts(node)
        self._out.add(f" {', '.join(shown)} ")
        self._hidden += sum(map(len, left_out))
        return _pass_over

    def _frame(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._frames += bool(attributes.get("src") or attributes.get("srcdoc"))
        return _pass_over

    def _embedded(self, node: LexborNode, attributes: Attributes) -> _Leave | None:
        self._media += 1
        return None


def _pass_over() -> None:
    """What is returned where an element's children are not to be rendered."""


def _words(text: str) -> list[str]:
    return text.casefold().split()


def _bare(target: str) -> str:
    return re.sub(r"^https?://(?:www\.)?", "", target).rstrip("/")
