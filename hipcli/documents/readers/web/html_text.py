"""HTML to sections of text: what a browser would show, without its looks."""

from collections.abc import Mapping
from functools import partial

from selectolax.lexbor import LexborHTMLParser, LexborNode

from hipcli.documents.readers.web.html_blocks import BLOCKS
from hipcli.documents.readers.web.html_elements import Attributes, has_several, is_formula_part, is_hidden, sign_before
from hipcli.documents.readers.web.html_inline import INLINE
from hipcli.documents.readers.web.html_markup import Markup
from hipcli.documents.readers.web.html_rendering import Enter, Leave, Rendering, around, pass_over

_NO_TEXT = {"script", "style", "noframes", "rp", "datalist", "desc", "metadata", "annotation", "annotation-xml"}
_PARAGRAPHS = {
    "address", "article", "aside", "dl", "fieldset", "figure", "footer", "form", "header", "hgroup", "hr",
    "main", "nav", "p", "section",
}  # fmt: skip
_LINES = {
    "body", "caption", "center", "details", "dialog", "div", "dt", "figcaption", "legend", "mtr", "option",
    "summary", "title", "tr",
}  # fmt: skip
_AROUND = {"del": "~~", "s": "~~", "strike": "~~", "q": '"'}
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
    return renderer.to.result()


class _Renderer:
    """Walks a document once, and renders it `to` what it makes of it."""

    def __init__(
        self, titles: Mapping[str, str] | None, keep_hidden: bool, keep_navigation: bool, in_template: bool = False
    ) -> None:
        self.to = Rendering(titles)
        self._keep_hidden = keep_hidden
        self._keep_navigation = keep_navigation
        self._in_template = in_template
        self._enter: dict[str, Enter] = {
            **BLOCKS,
            **INLINE,
            **dict.fromkeys(("defs", "symbol"), _unseen),
            "template": self._template,
            "title": _page_title,
        }

    def walk(self, root: LexborNode | None) -> None:
        """Render `root` and all below it. No recursion: a hostile tree may be deeper than Python's stack."""
        node, leaves = root, list[Leave | None]()
        while node is not None:
            inner = None
            if node.is_text_node:
                self.to.text(node.text_content or "")
            elif node.is_element_node or node is root:
                leave = self._element(node) if node.is_element_node else None
                inner = None if leave is pass_over else node.first_child
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

    def _element(self, node: LexborNode) -> Leave | None:
        # A prefix is that of a namespace, in XHTML.
        tag = (node.tag or "").rpartition(":")[2]
        attributes = node.attributes
        if self.to.titles:
            for key in ("id", "name"):
                self.to.next_title = self.to.titles.get(attributes.get(key) or "", self.to.next_title)
        if not self.to.outer and self.to.next_title is not None:
            self.to.begin_section(self.to.next_title)
        if tag in _NO_TEXT:
            self.to.scripts += len(node.text()) if tag == "script" else 0
            return pass_over
        if not self._keep_hidden and is_hidden(node, tag, attributes):
            return _unseen(self.to, node, attributes)
        if not self._keep_navigation and (tag == "nav" or attributes.get("role") == "navigation"):
            return _navigation(self.to)
        if is_formula_part(node):
            return self._formula_part(node, tag)
        enter = self._enter.get(tag)
        if enter is not None:
            return enter(self.to, node, attributes)
        if tag in _PARAGRAPHS:
            return around(self.to.out.block, lambda: self.to.out.block())
        if tag in _LINES:
            return around(self.to.out.line, lambda: self.to.out.line())
        if tag in _AROUND:
            return around(partial(self.to.out.add, _AROUND[tag]), lambda: self.to.out.add(_AROUND[tag]))
        return None

    def _template(self, to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
        if self._in_template:
            return pass_over  # it is among the fragments below
        shown = self._keep_hidden or attributes.get("shadowrootmode") is not None
        fragments = node.template_fragments()
        for fragment in fragments:
            fragments += fragment.template_fragments()
            inner = _Renderer({}, self._keep_hidden, self._keep_navigation, in_template=True)
            inner.walk(fragment)
            for section in inner.to.result().sections:
                if shown:
                    to.out.block()
                    to.out.add_lines(section.text)
                else:
                    to.hidden += len(section.text)
        return pass_over

    def _formula_part(self, node: LexborNode, tag: str) -> Leave | None:
        self.to.out.add(sign_before(node))
        if has_several(node):
            return around(lambda: self.to.out.add("("), lambda: self.to.out.add(")"))
        enter = self._enter.get(tag)
        return enter(self.to, node, node.attributes) if enter is not None else None


def _page_title(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    title = " ".join(node.text().split())
    if node.parent is not None and node.parent.tag in ("head", "body", "html"):
        to.title = to.title or title or None
    elif title:
        to.out.add(f"[image: {title}]")
    return pass_over


def _unseen(to: Rendering, node: LexborNode, attributes: Attributes) -> Leave | None:
    to.push()
    return partial(_leave_unseen, to)


def _leave_unseen(to: Rendering) -> None:
    to.hidden += len(to.pop())


def _navigation(to: Rendering) -> Leave:
    to.push()
    return partial(_leave_navigation, to, to.link_characters, to.target_characters)


def _leave_navigation(to: Rendering, links_before: int, targets_before: int) -> None:
    text = to.pop()
    links = to.link_characters - links_before
    characters = len(text) - (to.target_characters - targets_before)
    if links >= _NAVIGATION_SHARE * characters:
        to.navigation += characters
    else:
        to.out.block()
        to.out.add_lines(text)
    to.out.block()
