"""The text of one story of a Word document: its body, a header, a footnote, a comment."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from hipcli.documents.readers.office.drawing_text import Drawing, described
from hipcli.documents.readers.office.equations import equation
from hipcli.documents.readers.office.headings import Block
from hipcli.documents.readers.office.numerals import integer
from hipcli.documents.readers.office.ooxml import OfficePackage, children, descendants, is_on, with_address
from hipcli.documents.readers.office.tables_as_text import row_lines
from hipcli.documents.readers.office.word_styles import Lists, Styles
from hipcli.documents.readers.office.xml_package import find, find_all, text_of, value

_LINK_FIELD = re.compile(r'\s*HYPERLINK\s+"([^"]*)"')
_PAGE_FIELD = re.compile(r"\s*(?:PAGE|NUMPAGES|SECTIONPAGES)\b")
_WHITE = {"ffffff", "FFFFFF"}
_TINY = 4  # half points
_CHARACTERS = {"w:tab": "\t", "w:ptab": "\t", "w:br": "\n", "w:cr": "\n", "w:noBreakHyphen": "-"}
# Signs of Wingdings and Wingdings 2 that stand in forms and lists.
_SYMBOLS = {
    ("wingdings", 0xFE): "☑", ("wingdings", 0xFD): "☒", ("wingdings", 0xA8): "☐", ("wingdings", 0x6F): "☐",
    ("wingdings", 0xFC): "✔", ("wingdings", 0xFB): "✘", ("wingdings", 0xE0): "→", ("wingdings", 0xA7): "▪",
    ("wingdings 2", 0x52): "☑", ("wingdings 2", 0x54): "☒", ("wingdings 2", 0xA3): "☐", ("wingdings 2", 0x50): "✔",
}  # fmt: skip


@dataclass
class Shared:
    """What all stories of a document share: styles, lists, notes, and what was met on the way."""

    package: OfficePackage
    styles: Styles
    lists: Lists
    hidden: bool
    notes: dict[str, tuple[str, dict[str, Element]]]  # by kind of reference: the part, and its notes by id
    note_numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    note_texts: list[str] = field(default_factory=list)
    comments: set[str] = field(default_factory=set)
    pictures: int = 0
    deletions: int = 0
    hidden_characters: int = 0
    faint_characters: int = 0
    symbols: int = 0


@dataclass
class _Field:
    instruction: str = ""
    shown: bool = False
    start: int = 0


class Story:
    """Reads the story in `part`. In a running head the numbers of pages are read as "#"."""

    def __init__(self, shared: Shared, part: str, running: bool = False, shaded: bool = False) -> None:
        self._shared = shared
        self._part = part
        self._running = running
        self._shaded = shaded
        self._drawing = Drawing(shared.package, part, shared.hidden)
        self._output: list[str] = []
        self._boxes: list[Block] = []
        self._fields: list[_Field] = []
        self._style = ""

    def blocks(self, element: Element) -> Iterator[Block]:
        """The paragraphs and rows inside `element` in order."""
        for child in children(element):
            if child.tag == "w:p":
                yield from self._paragraph(child)
            elif child.tag == "w:tbl":
                yield from self._table(child)
            elif child.tag in ("w:del", "w:moveFrom"):
                self._leave_out(child)
            elif child.tag.startswith("m:"):
                yield Block(equation(child))
            elif not child.tag.endswith("Pr"):
                yield from self.blocks(child)

    def text(self, element: Element) -> str:
        """The story as one line."""
        return " ".join(" ".join(block.text for block in self.blocks(element)).split())

    def _paragraph(self, element: Element) -> Iterator[Block]:
        properties = find(element, "w:pPr")
        outer = self._output, self._boxes, self._style
        self._output, self._boxes, self._style = [], [], self._shared.styles.of_paragraph(properties)
        for open_field in self._fields:
            open_field.start = 0
        self._inline(element)
        text, boxes = "".join(self._output), self._boxes
        self._output, self._boxes, self._style = outer
        if text.strip():
            level = self._shared.styles.heading_level(properties)
            yield Block((self._shared.lists.mark(properties) + text).rstrip(), level)
        yield from boxes

    def _table(self, table: Element) -> Iterator[Block]:
        for row in _inside(table, "w:tr"):
            if find(row, "w:trPr/w:del") is not None:
                self._leave_out(row)
                continue
            cells = []
            for cell in _inside(row, "w:tc"):
                shaded, self._shaded = self._shaded, self._shaded or find(cell, "w:tcPr/w:shd") is not None
                cells.append([line for block in self.blocks(cell) for line in block.text.split("\n")])
                self._shaded = shaded
            yield from map(Block, row_lines(cells))

    def _inline(self, element: Element) -> None:
        for child in children(element):
            if child.tag == "w:r":
                self._run(child)
            elif child.tag in ("w:del", "w:moveFrom"):
                self._leave_out(child)
            elif child.tag == "w:hyperlink":
                start = len(self._output)
                self._inline(child)
                target = self._drawing.relationships.get(child.get("r:id", ""))
                if target is not None and target.external:
                    self._add_address(start, target.target)
            elif child.tag == "w:fldSimple" and self._running and _PAGE_FIELD.match(child.get("w:instr", "")):
                self._output.append("#")
            elif child.tag.startswith("m:"):
                self._output.append(equation(child))
            elif not child.tag.endswith("Pr"):
                self._inline(child)

    def _run(self, run: Element) -> None:
        properties = find(run, "w:rPr")
        start = len(self._output)
        for child in children(run):
            if child.tag == "w:fldChar":
                self._field_character(child)
            elif child.tag == "w:instrText":
                if self._fields:
                    self._fields[-1].instruction += child.text or ""
            elif all(open_field.shown for open_field in self._fields):
                self._run_child(child)
        length = sum(map(len, self._output[start:]))
        if length and self._shared.styles.is_hidden(properties, self._style):
            self._shared.hidden_characters += length
            if not self._shared.hidden:
                del self._output[start:]
        elif length and not self._shaded and _is_faint(properties):
            self._shared.faint_characters += sum(len(part.strip()) for part in self._output[start:])

    def _run_child(self, child: Element) -> None:
        if child.tag == "w:t":
            self._output.append(child.text or "")
        elif child.tag in _CHARACTERS:
            self._output.append(_CHARACTERS[child.tag])
        elif child.tag == "w:sym":
            self._output.append(self._symbol(child))
        elif child.tag in ("w:footnoteReference", "w:endnoteReference"):
            self._note(child.tag, child.get("w:id", ""))
        elif child.tag == "w:commentReference":
            self._comment(child.get("w:id", ""))
        elif child.tag == "w:ruby":
            base, above = (text_of(find(child, part), "w:t") for part in ("w:rubyBase", "w:rt"))
            self._output.append(f"{base}({above})" if above else base)
        elif child.tag in ("w:drawing", "w:pict", "w:object"):
            self._objects(child)

    def _field_character(self, element: Element) -> None:
        kind = element.get("w:fldCharType")
        if kind == "begin":
            self._fields.append(_Field())
            self._output.append(_form_value(element))
        elif not self._fields:
            return
        elif kind == "separate":
            current = self._fields[-1]
            current.shown = not (self._running and _PAGE_FIELD.match(current.instruction))
            current.start = len(self._output)
            self._output.append("" if current.shown else "#")
        elif kind == "end":
            current = self._fields.pop()
            link = _LINK_FIELD.match(current.instruction)
            if link and all(open_field.shown for open_field in self._fields):
                self._add_address(current.start, link[1])

    def _add_address(self, start: int, address: str) -> None:
        self._output[start:] = [with_address("".join(self._output[start:]), address)]

    def _note(self, kind: str, identifier: str) -> None:
        part, notes = self._shared.notes.get(kind, ("", {}))
        if identifier not in notes:
            return
        key = (kind, identifier)
        numbers = self._shared.note_numbers
        if key not in numbers:
            number = numbers[key] = 1 + sum(known == kind for known, _ in numbers)
            text = Story(self._shared, part).text(notes[identifier])
            self._shared.note_texts.append(f"[^{_note_mark(kind, number)}]: {text}")
        self._output.append(f"[^{_note_mark(kind, numbers[key])}]")

    def _comment(self, identifier: str) -> None:
        part, comments = self._shared.notes.get("w:commentReference", ("", {}))
        if identifier in comments and identifier not in self._shared.comments:
            self._shared.comments.add(identifier)
            comment = comments[identifier]
            author = comment.get("w:author", "").strip()
            text = Story(self._shared, part).text(comment)
            if text:
                self._output.append(f" [comment{f' by {author}' if author else ''}: {text}]")

    def _objects(self, element: Element, is_preview: bool = False) -> None:
        """The text of pictures, text boxes, charts and SmartArt below `element`."""
        is_preview = is_preview or element.tag == "w:object"
        for child in children(element):
            if child.tag == "w:txbxContent":
                fields, self._fields = self._fields, []
                shaded, self._shaded = self._shaded, True
                self._boxes += self.blocks(child)
                self._fields, self._shaded = fields, shaded
            elif child.tag in ("pic:pic", "v:imagedata"):
                self._shared.pictures += not is_preview
            elif child.tag == "v:textpath":
                self._boxes.append(Block(child.get("string", "")))
            elif child.tag == "a:graphic" and next(descendants(child, "c:chart", "dgm:relIds"), None) is not None:
                self._boxes += map(Block, self._drawing.graphic(child))
            else:
                if child.tag == "wp:docPr":
                    self._output += described(child)
                self._objects(child, is_preview)

    def _symbol(self, element: Element) -> str:
        font, code = element.get("w:font", ""), _code(element.get("w:char", ""))
        private = 0xF000 <= code <= 0xF0FF
        known = _SYMBOLS.get((font.lower(), code & 0xFF if private else code))
        if known is None and (private or "ding" in font.lower() or font.lower() == "symbol"):
            self._shared.symbols += 1
            return "\ufffd"
        return known or chr(code)

    def _leave_out(self, element: Element) -> None:
        if element.tag != "w:moveFrom":  # which is read where it was moved to
            self._shared.deletions += any(found.text for found in element.iter() if found.tag in ("w:t", "w:delText"))


def _inside(element: Element, tag: str) -> Iterator[Element]:
    """The rows of a table or cells of a row, also those in content controls and tracked changes."""
    for child in children(element):
        if child.tag == tag:
            yield child
        elif not child.tag.endswith("Pr"):
            yield from _inside(child, tag)


def _is_faint(properties: Element | None) -> bool:
    """Whether text is white or too small to see."""
    if properties is None or find(properties, "w:shd") is not None or find(properties, "w:highlight") is not None:
        return False
    return value(properties, "w:color", "w:val") in _WHITE or integer(value(properties, "w:sz", "w:val"), 24) <= _TINY


def _form_value(element: Element) -> str:
    """What a field of an old form shows that has no text of its own: a tick, the item chosen of a list."""
    box = find(element, "w:ffData/w:checkBox")
    if box is not None:
        state = find(box, "w:checked")
        return "☒ " if is_on(state if state is not None else find(box, "w:default")) else "☐ "
    choice = find(element, "w:ffData/w:ddList")
    if choice is None:
        return ""
    entries = [entry.get("w:val", "") for entry in find_all(choice, "w:listEntry")]
    index = integer(value(choice, "w:result", "w:val"), 0)
    return entries[index] if 0 <= index < len(entries) else ""


def _code(text: str) -> int:
    try:
        return int(text[:4], 16)
    except ValueError:
        return 0xFFFD


def _note_mark(kind: str, number: int) -> str:
    return f"e{number}" if kind == "w:endnoteReference" else str(number)
