"""RTF cut into tokens, and the encodings it names by numbers."""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?[0-9]{1,10})? ?"
    rb"|\\'(?P<hex>[0-9a-fA-F]{2})"
    rb"|\\(?P<symbol>[^a-zA-Z])"
    rb"|(?P<brace>[{}])"
    rb"|(?P<text>[^\\{}\r\n\x00]+)"
)
_CHARSETS = {
    77: "mac_roman", 78: "cp932", 79: "cp949", 80: "gb18030", 81: "big5hkscs", 128: "cp932", 129: "cp949",
    130: "johab", 134: "gb18030", 136: "big5hkscs", 161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255",
    178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
_CODE_PAGES = {65001: "utf-8", 10000: "mac_roman", 10001: "cp932", 10006: "mac_greek", 10007: "mac_cyrillic",
               10029: "mac_latin2", 936: "gb18030", 950: "big5hkscs", 708: "iso8859_6", 1361: "johab"}  # fmt: skip


class Token(NamedTuple):
    """`kind`: "word" (with `number`, None without one), "hex", "symbol", "brace" or "text"; `value` is what it says."""

    kind: str
    value: bytes
    number: int | None = None


def tokens(data: bytes) -> Iterator[Token]:
    """The tokens of `data`; what \\bin announces is passed over, and so is a backslash at the very end."""
    position = 0
    while match := _TOKEN.search(data, position):
        position = match.end()
        kind = match.lastgroup or ""
        if kind in ("word", "number"):
            number = None if match["number"] is None else int(match["number"])
            if match["word"] == b"bin" and number is not None and number > 0:
                position += number
            yield Token("word", match["word"], number)
        else:
            value = match[kind]
            yield Token(kind, bytes.fromhex(value.decode()) if kind == "hex" else value)


def charset_encoding(number: int) -> str | None:
    """Python's name of the encoding that a font has by \\fcharset; None for the default and unknown ones."""
    return _CHARSETS.get(number)


def code_page_encoding(number: int) -> str | None:
    """Python's name of a Windows code page; None for unknown ones."""
    name = _CODE_PAGES.get(number, f"cp{number}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None
