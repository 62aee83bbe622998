"""Bytes to text where the document itself says which encoding it is in, as web pages and messages do."""

import codecs

from hipcli.documents.document import Encoding
from hipcli.documents.readers.text.encodings import Decoded
from hipcli.documents.readers.text.text import decode_text

# What is declared and what it means in practice: the right-hand encodings have the same letters and some more.
_WIDER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FEW = 4  # characters outside ASCII for each one that is wrong, or more


def decode_declared(data: bytes, where: str, declared: str | None, asked: str | None) -> Decoded:
    """The text of `data` with newlines as "\\n".

    The encoding is `asked` if given, else what a byte order mark says, else `declared`, else what text is found to
    be in. Raises HipError as decode_text does.
    """
    name = None if declared is None else _python_name(declared)
    if asked is not None or declared is None or data.startswith(_MARKS):
        return decode_text(data, where, asked)
    if name is None:
        found = decode_text(data, where, None)
        shown = " ".join(declared.split())[:40]
        warning = f'declares the encoding "{shown}", which is unknown, and is read as {found.encoding.name}.'
        return found._replace(warnings=(*found.warnings, warning))
    if not data.isascii() and _is_utf8(data):
        if name == "utf-8":
            return Decoded(_lines(data.decode()), Encoding(name, "declared"), ())
        warning = f"declares the encoding {declared}, but is in UTF-8, and is read as that."
        return Decoded(_lines(data.decode()), Encoding("utf-8", "valid"), (warning,))
    if name.startswith(("utf-16", "utf-32")):
        # A declaration that could be read is in ASCII, so that this cannot be true.
        return decode_text(data, where, None)
    try:
        return Decoded(_lines(data.decode(name)), Encoding(name, "declared"), ())
    except UnicodeDecodeError as error:
        text, first = _lines(data.decode(name, "replace")), error.start
    wrong = text.count("\ufffd")
    if wrong * _FEW > sum(not character.isascii() for character in text):
        return decode_text(data, where, None)
    places = "place that is" if wrong == 1 else "places that are"
    warning = f"{wrong:,} {places} not valid {declared}, as declared, the first at byte {first:,}: read as U+FFFD."
    return Decoded(text, Encoding(name, "declared"), (warning,))


def _python_name(declared: str) -> str | None:
    """Python's name for an encoding declared; None if it is none known that gives text."""
    try:
        b"a".decode(declared)
        name = codecs.lookup(declared).name
    except (LookupError, ValueError):
        return None
    return _WIDER.get(name, name)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lines(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
