"""In which encoding bytes are, if in any: by their marks and patterns first, and by a guess last."""

import codecs
import re
import unicodedata
from itertools import islice
from typing import NamedTuple

from hipcli.documents.document import Encoding
from hipcli.documents.readers.text.legacy_encodings import guess

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITH_ZERO_BYTES = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
# By the sequences that announce another set of characters; the first that decodes all of it is taken.
_WITH_ESCAPES = (
    (re.compile(rb"\x1b\$(?:[@AB]|\([A-DOPQ])"), ("iso2022_jp", "iso2022_jp_2", "iso2022_jp_ext", "iso2022_jp_2004")),
    (re.compile(rb"\x1b\$\)C"), ("iso2022_kr",)),
    (re.compile(rb"~\{(?:[!-w][!-~])+~\}"), ("hz",)),
)
_HIGH_BYTES = bytes(range(0x80, 0x100))
_CONTROLS = bytes(set(range(1, 0x20)) - set(b"\t\n\v\f\r\b\x1b"))
_MOST_LOOKED_AT = 2**16
_MOST_OFFSETS = 3
# Characters of UTF-8; in other encodings, valid ones come about by chance, and never more often than wrong ones.
_MANY = 8
_SURE = 0.9
# A letter with an accent in UTF-8, which is a capital and a sign in these encodings, where no quotation mark comes.
_WESTERN = ("cp1252", "iso8859_15")
_WESTERN_UTF8 = re.compile(rb"[\xc3-\xc5][\x80-\x90\x95-\xba\xbc-\xbf]")


class Decoded(NamedTuple):
    """`warnings` say what stands in place of bytes that do not fit, and what is only a guess."""

    text: str
    encoding: Encoding
    warnings: tuple[str, ...]


def decoded_as(encoding: str, data: bytes) -> Decoded:
    """The text of `data` in `encoding`. Raises UnicodeError where it does not fit."""
    return Decoded(data.decode(encoding), Encoding(encoding, "asked for"), ())


def decoded_by_itself(data: bytes) -> Decoded | None:
    """The text of `data` in the encoding that it seems to be in; None if it is no text."""
    for mark, marked in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _unless_nonsense(_decoded(data, marked, "byte order mark"))
    if b"\0" in data:
        return _decoded_with_zero_bytes(data)
    if b"\x1b$" in data or b"~{" in data:
        escaped = _by_escapes(data)
        if escaped is not None:
            return _decoded(data, escaped, "escape sequences", guessed=escaped == "hz")
    return _decoded_in_superset_of_ascii(data)


def _decoded_with_zero_bytes(data: bytes) -> Decoded | None:
    wide = _by_zero_bytes(data)
    if wide is not None:
        return _unless_nonsense(_decoded(data, wide, "pattern of zero bytes", guessed=True))
    # One run of them may be of any length: where a disk was full, or a program died.
    runs = sum(1 for _ in re.finditer(rb"\x00+", data))
    if runs > max(len(data) // 100, len(data) >= 10) or len(data.translate(None, _CONTROLS)) < 0.99 * len(data):
        return None
    decoded = _decoded_in_superset_of_ascii(data)
    if decoded is None or not decoded.text.strip("\0"):
        return None
    count = data.count(b"\0")
    first = [found.start() for found in islice(re.finditer(rb"\x00", data), _MOST_OFFSETS)]
    dropped = f"{_places(count, 'zero byte', first)}: dropped."
    return Decoded(decoded.text.replace("\0", ""), decoded.encoding, (*decoded.warnings, dropped))


def _by_zero_bytes(data: bytes) -> str | None:
    """The encoding of two or four bytes a character in which `data` is text.

    Wrong ones give characters that no text has. Where several give text, as both orders of bytes may, the right one
    gives the most characters that every text has.
    """
    if data.count(b"\0") < 0.003 * len(data):
        return None
    best, most = None, 0.05
    for name in _WITH_ZERO_BYTES:
        width = 4 if name.startswith("utf-32") else 2
        whole = min(len(data), _MOST_LOOKED_AT) // width * width
        text = data[:whole].decode(name, "replace").removesuffix("\ufffd")  # half a character at the end
        # Of a few numbers, one may well be a letter.
        if len(text) < 3 or (len(text) < 16 and 4 * len(text.encode("ascii", "ignore")) < len(text)):
            continue
        if sum(map(_is_in_no_text, text)) <= len(text) // 100:
            everyday = 1.0 if width == 4 else sum(map(_is_everyday, text)) / len(text)
            if everyday > most:
                best, most = name, everyday
    return best


def _is_in_no_text(character: str) -> bool:
    category = unicodedata.category(character)
    return character == "\ufffd" or (category in ("Cc", "Cn", "Co", "Cs") and character not in "\t\n\r\f")


def _is_everyday(character: str) -> bool:
    return character < "\u0700" or "\u3000" <= character < "\u3100" or character in "\uff0c\uff01\uff1a\uff1f\ufeff"


def _by_escapes(data: bytes) -> str | None:
    if not data.isascii():
        return None
    for pattern, names in _WITH_ESCAPES:
        if not pattern.search(data):
            continue
        for name in names:
            try:
                codecs.getincrementaldecoder(name)().decode(data)  # which lets a sequence be cut off at the end
            except UnicodeDecodeError:
                continue
            return name
        return None if names == ("hz",) else names[0]
    return None


def _decoded_in_superset_of_ascii(data: bytes) -> Decoded | None:
    """UTF-8 with as many wrong places as leave it likelier than every other encoding, or a guess."""
    try:
        return Decoded(data.decode(), Encoding("utf-8", "valid"), ())
    except UnicodeDecodeError as error:
        cut = error.end == len(data) and error.reason == "unexpected end of data"
        before, incomplete = data[: error.start][-1:], data[error.start :]
    text = data.decode("utf-8", "replace")
    wrong = text.count("\ufffd") - data.count("\ufffd".encode())
    right = len(text) - len(data.translate(None, _HIGH_BYTES)) - wrong
    if right >= wrong * (1 if right >= _MANY else 10) or (cut and _is_cut_utf8(before, incomplete, right)):
        return _decoded(data, "utf-8", "bad bytes replaced")
    guessed, likely = guess(data.replace(b"\0", b""))
    if (right >= wrong or cut) and likely < _SURE:
        return _decoded(data, "utf-8", "bad bytes replaced")
    few = wrong * 100 <= len(data)
    if few and (guessed is None or likely < 0.5):
        return _decoded(data, "utf-8", "bad bytes replaced")
    if guessed is None:
        return None
    decoded = _decoded(data, guessed, "guess", guessed=True)
    mixed = [found.start() for found in _WESTERN_UTF8.finditer(data)] if guessed in _WESTERN else []
    if len(mixed) > 1:
        places = _places(len(mixed), "place that is probably utf-8", mixed[:_MOST_OFFSETS])
        decoded = decoded._replace(warnings=(*decoded.warnings, f"{places}: read as {guessed} like the rest."))
    return decoded


def _is_cut_utf8(before: bytes, incomplete: bytes, right: int) -> bool:
    """Whether data that ends within what would be a character is UTF-8 for sure, and not "caf\\xe9"."""
    return right > 1 or (right == 0 and (len(incomplete) > 1 or not before.isalpha()))


def _decoded(data: bytes, name: str, how: str, guessed: bool = False) -> Decoded:
    """The text of `data` with U+FFFD for what does not fit, which is said."""
    encoding = Encoding(name.removesuffix("-sig"), how)
    warnings = []
    if guessed:
        found = "which is a guess" if how == "guess" else f"because of its {how}"
        warnings.append(f"read as {name}, {found}: name the encoding with --encoding if it is wrong.")
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        text = data.decode(name, "replace")
        if encoding.name == "utf-8":
            count = text.count("\ufffd") - data.count("\ufffd".encode())
            first = _wrong_in_utf8(data)
        else:
            count = text.count("\ufffd")
            first = [error.start]
        warnings.append(f"{_places(count, f'place that is not valid {encoding.name}', first)}: read as U+FFFD.")
    return Decoded(text, encoding, tuple(warnings))


def _unless_nonsense(decoded: Decoded) -> Decoded | None:
    """None where more than a tenth of it is U+FFFD, so that it is no text; but one at the end may be cut off."""
    wrong = decoded.text.count("\ufffd")
    return decoded if wrong <= max(1, len(decoded.text) // 10) and decoded.text.strip("\ufffd") else None


def _wrong_in_utf8(data: bytes) -> list[int]:
    """The offsets of the first wrong bytes."""
    offsets: list[int] = []
    at = 0
    while len(offsets) < _MOST_OFFSETS:
        try:
            codecs.utf_8_decode(memoryview(data)[at:], "strict", True)
        except UnicodeDecodeError as error:
            offsets.append(at + error.start)
            at += error.end
        else:
            break
    return offsets


def _places(count: int, what: str, first: list[int]) -> str:
    """ "2 zero bytes at bytes 7 and 9"."""
    shown = [f"{offset:,}" for offset in first]
    more = count > len(shown)
    where = ", ".join(shown) if more or len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    plural = what if count == 1 else what.replace("place that is", "places that are").replace("byte", "bytes")
    return f"{count:,} {plural} at byte{'s' * (count > 1)} {where}{' and so on' * more}"
