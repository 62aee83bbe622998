"""Rich text (RTF): its text with a section for each heading."""

import re
from copy import copy
from dataclasses import dataclass

from hipcli.documents.document import Content, Encoding
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office.rtf_text import RtfText
from hipcli.documents.readers.office.rtf_tokens import Token, charset_encoding, code_page_encoding, tokens

_CHARACTERS = {
    b"tab": "\t", b"emdash": "—", b"endash": "–", b"bullet": "•", b"lquote": "‘", b"rquote": "’", b"ldblquote": "“",
    b"rdblquote": "”", b"emspace": " ", b"enspace": " ", b"qmspace": " ", b"zwj": "\u200d", b"zwnj": "\u200c",
}  # fmt: skip
_SYMBOLS = {b"~": " ", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}", b"\t": "\t"}
_NEW_LINES = {b"par", b"line", b"sect", b"page", b"column", b"softline", b"softpage"}
_FURNITURE = {b"header", b"headerl", b"headerr", b"headerf", b"footer", b"footerl", b"footerr", b"footerf"}
# Groups that hold no text of the document, although they do not begin with \*.
_NO_TEXT = {
    b"colortbl", b"info", b"filetbl", b"fontfile", b"listname", b"listtable", b"nonshppict", b"objdata", b"revtbl",
    b"rxe", b"tc", b"tcn", b"template", b"themedata", b"xe", b"sp", b"ftnsep", b"ftnsepc", b"ftncn", b"aftnsep",
    b"aftnsepc", b"aftncn", b"bkmkstart", b"bkmkend", b"datafield", b"atnid", b"atnauthor", b"atntime", b"atnref",
    b"atndate", b"atnicn", b"private", b"picprop", b"mmathPict",
}  # fmt: skip
# Groups that do, although they begin with \*.
_TEXT = {
    b"shppict", b"shpinst", b"shptxt", b"do", b"dptxbxtext", b"footnote", b"annotation", b"moMath", b"moMathPara",
    b"ud", b"fldinst", b"pict", b"object",
}  # fmt: skip
_NOTES = {b"footnote": "footnote", b"annotation": "comment"}
_ENCODINGS = {b"ansi": "cp1252", b"mac": "mac_roman", b"pc": "cp437", b"pca": "cp850"}
_SURE_SYMBOLS = {"\uf0b7": "•", "\uf0a7": "▪", "\uf0fc": "✓", "\uf0d8": "➢", "\uf0e0": "→", "\uf02d": "-"}
_TARGET = re.compile(r'HYPERLINK\s{1,9}"((?:https?|ftp|mailto):[^"]{1,4000})"')


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The text in `data`. Never fails: what is no RTF is read as far as it goes, which is said."""
    reader = _Reader(options)
    reader.read(data)
    pages = reader.text.pages()
    return Content(
        kind="rtf",
        reader="rtf",
        pages=pages,
        unit="section" if any(page.label for page in pages) else None,
        encoding=Encoding(reader.encoding, "declared"),
        warnings=reader.warnings(),
        dropped=reader.dropped(),
    )


@dataclass(slots=True)
class _Group:
    """What holds up to the end of a group. `kind` is the destination that its characters go to, "" for the text."""

    kind: str = ""
    skipped: int = 1  # characters behind \u, for readers that do not know it
    encoding: str | None = None  # of the font
    hidden: bool = False
    deleted: bool = False
    fresh: bool = True  # nothing has come yet but \*
    starred: bool = False
    closing: str = ""  # what stands at the end of the group
    mark: int = -1  # where the text of a link began


class _Reader:
    def __init__(self, options: ReadOptions) -> None:
        self.text = RtfText()
        self.encoding = "cp1252"
        self._keep_hidden = options.hidden
        self._keep_furniture = options.running_lines
        self._group = _Group()
        self._groups: list[_Group] = []
        self._bytes = bytearray()
        self._to_skip = 0
        self._fonts: dict[int, str | None] = {}
        self._font = self._default_font = 0
        self._headings: set[int] = set()
        self._style = 0
        self._style_name: list[str] = []
        self._code: list[str] = []  # of a field
        self._in_table = self._heading = self._ended = False
        self._pictures = self._objects = self._wrong = self._symbols = 0
        self._left_out = {"hidden": 0, "deleted": 0, "furniture": 0}

    def read(self, data: bytes) -> None:
        for token in tokens(data):
            if token.kind in ("hex", "text"):
                self._characters(token.value)
                continue
            if token.kind == "symbol" and token.value in (b"\n", b"\r"):
                token = Token("word", b"par")
            self._flush()
            if token.kind == "brace":
                self._brace(token.value)
                if self._ended:
                    break
            elif self._to_skip:
                self._to_skip -= 1
            elif token.kind == "symbol":
                self._symbol(token.value)
            else:
                self._word(token.value, token.number)
        self._flush()

    def warnings(self) -> tuple[str, ...]:
        counts = (
            (self._pictures, "picture", "is not read.", "are not read."),
            (
                self._objects,
                "embedded object",
                "is not looked into.",
                "are not looked into.",
            ),
            (self._wrong, "character", "could not be decoded.", "could not be decoded."),
            (self._symbols, "character of a symbol font", "may be read wrongly.", "may be read wrongly."),
        )
        said = [f"{n:,} {what}{'' if n == 1 else 's'} {one if n == 1 else more}" for n, what, one, more in counts if n]
        return (*said, *([] if self._ended else ["is cut off: the end of its last group is missing."]))

    def dropped(self) -> tuple[str, ...]:
        hints = {"hidden": "--hidden keeps them", "furniture": "--keep-running-lines keeps them"}
        names = {"hidden": "hidden text", "deleted": "deleted text", "furniture": "heads and feet of pages"}
        return tuple(
            f"{count:,} characters of {names[kind]} left out{f'; {hints[kind]}' if kind in hints else ''}."
            for kind, count in self._left_out.items()
            if count
        )

    def _brace(self, brace: bytes) -> None:
        self._to_skip = 0
        if brace == b"{":
            self._groups.append(self._group)
            self._group = copy(self._group)
            self._group.fresh, self._group.starred, self._group.closing, self._group.mark = True, False, "", -1
            return
        ended = self._group
        if ended.kind == "style":
            self._end_style()
        if ended.closing:
            self._add(ended.closing)
        if ended.mark >= 0:
            self._end_link(ended.mark)
        if self._groups:
            self._group = self._groups.pop()
        self._ended = not self._groups

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._group.starred = True
        else:
            self._group.fresh = False
            self._add(_SYMBOLS.get(symbol, ""))

    def _word(self, word: bytes, number: int | None) -> None:
        group = self._group
        if group.fresh:
            group.fresh = False
            if self._begin(word):
                return
        if word == b"u" and number is not None:
            self._to_skip = group.skipped
            self._add(self._symbol_or_letter(chr(number & 0xFFFF)))
        elif word == b"uc":
            group.skipped = min(max(number or 0, 0), 9)
        elif group.kind == "fonts":
            self._font_word(word, number)
        elif group.kind == "style":
            if word == b"s":
                self._style = number or 0
            elif word == b"outlinelevel" and number is not None and number < 9:
                self._headings.add(self._style)
        elif group.kind in ("", "furniture"):
            self._text_word(word, number)

    def _begin(self, word: bytes) -> bool:
        """Begin the group that `word` opens; False if it is only the first word of a group of text."""
        group = self._group
        if group.kind == "nothing" or (group.kind == "upr" and word != b"ud"):
            return True
        if word == b"fonttbl":
            group.kind = "fonts"
        elif word == b"stylesheet":
            group.kind = "style"
        elif word == b"fldinst":
            group.kind, self._code = "code", []
        elif word in _FURNITURE and not self._keep_furniture:
            group.kind = "furniture"
        elif word in (b"pict", b"object"):
            self._pictures += word == b"pict"
            self._objects += word == b"object"
            group.kind = "nothing" if word == b"pict" else group.kind
        elif word in _NO_TEXT or (group.starred and word not in _TEXT):
            group.kind = "nothing"
        elif word in _NOTES:
            self._add(f" [{_NOTES[word]}: ")
            group.closing = "]"
        elif word == b"upr" and group.kind == "":
            group.kind = "upr"  # what comes first is for readers without Unicode
        elif word == b"ud" and group.kind == "upr":
            group.kind = ""
        elif word == b"fldrslt":
            group.mark = self.text.mark
        else:
            return False
        return True

    def _font_word(self, word: bytes, number: int | None) -> None:
        if word == b"f":
            self._font = number or 0
        elif word == b"fcharset" and number is not None:
            self._fonts[self._font] = charset_encoding(number)
        elif word == b"cpg" and number is not None:
            self._fonts[self._font] = code_page_encoding(number)

    def _text_word(self, word: bytes, number: int | None) -> None:
        group = self._group
        on = number != 0
        if word in _CHARACTERS:
            self._add(_CHARACTERS[word])
        elif word in _NEW_LINES:
            if group.kind == "" and not (group.hidden or group.deleted):
                self.text.end_paragraph(self._in_table, self._heading)
        elif word in (b"cell", b"nestcell"):
            self.text.end_cell(word == b"nestcell")
        elif word in (b"row", b"nestrow"):
            self.text.end_row(word == b"nestrow")
        elif word == b"pard":
            self._in_table = self._heading = False
        elif word == b"intbl":
            self._in_table = True
        elif word == b"s":
            self._heading = number in self._headings
        elif word == b"outlinelevel":
            self._heading = number is not None and number < 9
        elif word == b"plain":
            group.hidden = False
            group.encoding = self._fonts.get(self._default_font)
        elif word in (b"f", b"af"):
            group.encoding = self._fonts.get(number or 0) if word == b"f" else group.encoding
        elif word == b"v":
            group.hidden = on and not self._keep_hidden
        elif word == b"deleted":
            group.deleted = on
        elif word == b"deff":
            self._default_font = number or 0
        elif word == b"ansicpg" and number:
            self.encoding = code_page_encoding(number) or self.encoding
        elif word in _ENCODINGS:
            self.encoding = _ENCODINGS[word]

    def _characters(self, value: bytes) -> None:
        self._group.fresh = False
        skipped = min(self._to_skip, len(value))
        self._to_skip -= skipped
        self._bytes += value[skipped:]

    def _flush(self) -> None:
        """Decode the bytes since the last word: one letter may be in several of them."""
        if not self._bytes:
            return
        data, self._bytes = bytes(self._bytes), bytearray()
        if self._group.kind == "nothing":
            return
        text = data.decode(self._group.encoding or self.encoding, "replace")
        self._wrong += text.count("\ufffd")
        self._add(text)

    def _add(self, text: str) -> None:
        group = self._group
        if group.kind == "code":
            self._code.append(text)
        elif group.kind == "style":
            self._style_name.append(text)
        elif group.kind == "furniture":
            self._left_out["furniture"] += len(text)
        elif group.kind == "" and group.deleted:
            self._left_out["deleted"] += len(text)
        elif group.kind == "" and group.hidden:
            self._left_out["hidden"] += len(text)
        elif group.kind == "":
            self.text.add(text)

    def _symbol_or_letter(self, letter: str) -> str:
        if letter in _SURE_SYMBOLS:
            return _SURE_SYMBOLS[letter]
        self._symbols += "\uf000" <= letter <= "\uf0ff"
        return letter

    def _end_style(self) -> None:
        name = "".join(self._style_name).strip().lower()
        if name.startswith("heading "):
            self._headings.add(self._style)
        self._style, self._style_name = 0, []

    def _end_link(self, mark: int) -> None:
        target = _TARGET.search("".join(self._code))
        self._code = []
        if target is not None:
            shown = target[1].removeprefix("mailto:")
            if shown.rstrip("/") not in self.text.since(mark):
                self._add(f" ({shown})")
