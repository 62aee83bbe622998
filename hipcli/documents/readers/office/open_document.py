"""What all OpenDocument formats share: the package, its styles, and text with notes, comments and frames."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from xml.etree.ElementTree import Element

from hipcli.documents.document import Member
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office.equations import mathml
from hipcli.documents.readers.office.headings import Block
from hipcli.documents.readers.office.numerals import integer
from hipcli.documents.readers.office.ole import embedded_file
from hipcli.documents.readers.office.ooxml import count, with_address
from hipcli.documents.readers.office.open_document_lists import OpenLists
from hipcli.documents.readers.office.tables_as_text import row_lines
from hipcli.documents.readers.office.xml_package import Package, find, find_all, text_of
from hipcli.errors import HipError

_MANIFEST = "META-INF/manifest.xml"
_PLAIN = {"text:tab": "\t", "text:line-break": "\n", "text:soft-page-break": ""}
_PAGE_FIELDS = ("text:page-number", "text:page-count")
# What no viewer shows as text of the document.
_NOT_TEXT = {
    "text:tracked-changes", "table:tracked-changes", "office:forms", "office:annotation-end", "office:event-listeners",
    "presentation:notes", "text:index-title-template", "text:sequence-decls", "text:variable-decls",
    "text:user-field-decls", "draw:page-thumbnail", "text:ruby-text", "table:covered-table-cell",
    "svg:title", "svg:desc", "office:meta", "office:scripts", "office:settings",
}  # fmt: skip
_MOST_SPACES = 1000


class OpenPackage(Package):
    """A package of OpenDocument. Raises HipError where it is protected by a password."""

    def __init__(self, data: bytes, where: str, options: ReadOptions) -> None:
        super().__init__(data, where, options)
        if _MANIFEST in self and b"encryption-data" in self.read(_MANIFEST):
            raise HipError(f"{where}: is protected by a password", "save it without a password first")

    def styles(self, content: Element | None = None) -> "Styles":
        """The styles of the document, and those in its `content`."""
        roots = [self.xml("styles.xml")] if "styles.xml" in self else []
        return Styles([*roots, *([content] if content is not None else [])])


class Styles:
    """The styles in the XML `roots`."""

    def __init__(self, roots: list[Element]) -> None:
        self._styles = {style.get("style:name", ""): style for root in roots for style in root.iter("style:style")}
        self.lists = OpenLists(roots)

    def add(self, style: Element) -> None:
        self._styles[style.get("style:name", "")] = style

    def property(self, style: str | None, name: str) -> str | None:
        """A property of a style, or of the nearest one that it comes from and that has it."""
        seen: set[str] = set()
        while style and style in self._styles and style not in seen:
            seen.add(style)
            for properties in self._styles[style]:
                if name in properties.attrib:
                    return properties.get(name)
            style = self._styles[style].get("style:parent-style-name")
        return None


@dataclass
class OpenText:
    """Reads text; what is met on the way is counted. Hidden text is read only with `hidden`."""

    package: Package
    styles: Styles
    hidden: bool = False
    chart_values: bool = True
    note_texts: list[str] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    notes: int = 0
    pictures: int = 0
    media: int = 0
    objects: int = 0
    hidden_characters: int = 0
    _frames: list[Block] = field(default_factory=list)

    def blocks(self, element: Element) -> Iterator[Block]:
        """The paragraphs, headings and rows inside `element` in order."""
        for child in element:
            if child.tag in _NOT_TEXT or child.tag.endswith("-source"):
                continue
            if child.tag in ("text:p", "text:h"):
                yield from self._paragraph(child)
            elif child.tag == "text:list":
                yield from self._list(child)
            elif child.tag == "table:table":
                yield from self._table(child)
            elif child.tag == "draw:frame":
                yield from self._frame(child)
            elif child.tag == "office:annotation":
                yield Block(self._comment(child).strip())
            elif child.get("text:display") == "none":
                yield from self._hidden_blocks(child)
            else:
                yield from self.blocks(child)

    def line(self, element: Element) -> str:
        """All text inside `element` in one line."""
        return " ".join(" ".join(block.text for block in self.blocks(element)).split())

    def inline(self, element: Element) -> str:
        """The text of a paragraph. What its frames hold is kept for `take_frames`."""
        parts = [element.text or ""]
        for child in element:
            parts += [self._inline_child(child), child.tail or ""]
        text = "".join(parts)
        if text and self.styles.property(element.get("text:style-name"), "text:display") == "none":
            self.hidden_characters += len(text)
            return text if self.hidden else ""
        return text

    def take_frames(self) -> list[Block]:
        """What the frames held since this was called last."""
        frames, self._frames = self._frames, []
        return frames

    def _inline_child(self, child: Element) -> str:
        tag = child.tag
        if tag in _PLAIN:
            return _PLAIN[tag]
        if tag == "text:s":
            return " " * min(integer(child.get("text:c"), 1), _MOST_SPACES)
        if tag in _PAGE_FIELDS:
            return "#"
        if tag == "text:a":
            address = child.get("xlink:href", "")
            return with_address(self.inline(child), "" if address.startswith(("#", "../")) else address)
        if tag == "text:note":
            return self._note(child)
        if tag == "office:annotation":
            return self._comment(child)
        if tag == "text:ruby":
            above = text_of(child, "text:ruby-text")
            return self.inline(child) + (f"({above})" if above else "")
        if tag.startswith("draw:"):
            outer = self.take_frames()
            frames = list(self._frame(child) if tag == "draw:frame" else self.blocks(child))
            self._frames = [*outer, *frames]
            return ""
        return "" if tag in _NOT_TEXT else self.inline(child)

    def _paragraph(self, element: Element) -> Iterator[Block]:
        outer = self.take_frames()
        text = self.inline(element)
        frames, self._frames = self._frames, outer
        if text.strip():
            level = integer(element.get("text:outline-level"), 1) if element.tag == "text:h" else None
            number = self.styles.lists.heading(element, level) if level is not None else ""
            if element.get("text:style-name") == "Title" or self._comes_from_title(element):
                level = 0
            yield Block((number + text).rstrip(), level)
        yield from frames

    def _comes_from_title(self, element: Element) -> bool:
        return self.styles.property(element.get("text:style-name"), "style:parent-style-name") == "Title"

    def _list(self, element: Element, level: int = 1, inherited: str = "") -> Iterator[Block]:
        style = element.get("text:style-name") or inherited
        self.styles.lists.begin(style, level, element)
        for item in element:
            if item.tag not in ("text:list-item", "text:list-header"):
                continue
            mark = self.styles.lists.mark(style, level, item) if item.tag == "text:list-item" else ""
            for child in item:
                if child.tag == "text:list":
                    yield from self._list(child, level + 1, style)
                    continue
                wrapper = Element("wrapper")
                wrapper.append(child)
                for block in self.blocks(wrapper):
                    yield Block(mark + block.text, block.level)
                    mark = ""

    def _table(self, table: Element) -> Iterator[Block]:
        for row in table:
            if row.tag in ("table:table-header-rows", "table:table-rows", "table:table-row-group"):
                yield from self._table(row)
            elif row.tag == "table:table-row":
                cells = [
                    [line for block in self.blocks(cell) for line in block.text.split("\n")]
                    for cell in row
                    if cell.tag in ("table:table-cell", "table:covered-table-cell")
                ]
                yield from map(Block, row_lines(cells))
            elif row.tag == "table:shapes":
                yield from self.blocks(row)

    def _frame(self, frame: Element) -> Iterator[Block]:
        """Of the ways to show a frame, the first; a picture may stand for an object."""
        described = " ".join(text_of(frame, "svg:desc").split())
        for child in frame:
            if child.tag == "draw:object":
                yield from self._object(child)
                return
            if child.tag == "draw:object-ole":
                self._embedded(child)
                return
            if child.tag == "draw:image":
                self.pictures += 1
                if described:
                    yield Block(f"[picture: {described}]")
                yield from self.blocks(child)
                return
            if child.tag == "draw:plugin":
                self.media += 1
                return
        yield from self.blocks(frame)

    def _object(self, element: Element) -> Iterator[Block]:
        """A formula, chart or table that is a document of its own inside the package."""
        if len(element):
            root = element
        else:
            name = posixpath.normpath(posixpath.join(element.get("xlink:href", ""), "content.xml"))
            if name not in self.package:
                self.objects += 1
                return
            root = self.package.xml(name)
        formula = next(root.iter("math:math"), root if root.tag == "math:math" else None)
        if formula is not None:
            yield Block(mathml(formula))
            return
        for chart in root.iter("chart:chart"):
            if not self.chart_values:
                for table in find_all(chart, "table:table"):
                    chart.remove(table)
        yield from self.blocks(root)

    def _embedded(self, element: Element) -> None:
        name = posixpath.normpath(element.get("xlink:href", ""))
        member = embedded_file(self.package.read(name), posixpath.basename(name)) if name in self.package else None
        if member is None:
            self.objects += 1
        else:
            self.members.append(member)

    def _note(self, element: Element) -> str:
        self.notes += 1
        mark = f"e{self.notes}" if element.get("text:note-class") == "endnote" else str(self.notes)
        body = find(element, "text:note-body")
        if body is not None:
            self.note_texts.append(f"[^{mark}]: {self.line(body)}")
        return f"[^{mark}]"

    def _comment(self, element: Element) -> str:
        author = text_of(element, "dc:creator").strip()
        text = self.line(element)
        return f" [comment{f' by {author}' if author else ''}: {text}]" if text else ""

    def _hidden_blocks(self, element: Element) -> Iterator[Block]:
        blocks = list(self.blocks(element))
        self.hidden_characters += sum(len(block.text) for block in blocks)
        yield from blocks if self.hidden else ()

    def warnings(self) -> Iterator[str]:
        """What was not read, or read though it is hidden."""
        if self.pictures:
            yield f"{count(self.pictures, 'picture was', 'pictures were')} not read."
        if self.media:
            yield f"{count(self.media, 'video or recording was', 'videos and recordings were')} not read."
        if self.objects:
            yield f"{count(self.objects, 'embedded object was', 'embedded objects were')} not read."
        if self.hidden_characters and self.hidden:
            yield f"{count(self.hidden_characters, 'character', 'characters')} of hidden text were read."

    def dropped(self) -> Iterator[str]:
        """What was left out on purpose."""
        if self.hidden_characters and not self.hidden:
            yield f"{count(self.hidden_characters, 'character', 'characters')} of hidden text were left out."


def embedded_documents(package: Package) -> tuple[Member, ...]:
    """The files that lie in the package as they are."""
    return tuple(
        Member(posixpath.basename(name), partial(package.read, name))
        for name in package.names
        if name.lower().startswith("embeddings/")
    )
