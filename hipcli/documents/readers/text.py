"""Bytes to text: which encoding, and whether it is text at all."""

import codecs
from typing import TYPE_CHECKING

from hipcli.documents.document import Content, Encoding, Page
from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    from hipcli.documents.options import ReadOptions

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class NotTextError(HipError):
    """The bytes are no text in any encoding that can be recognised."""


def read(data: bytes, where: str, options: "ReadOptions") -> Content:
    """The text in `data` as one page. Raises NotTextError for binary data, HipError where --encoding is wrong."""
    text, warnings = decode(data, where, options.encoding)
    return Content(
        kind="text", reader="text", pages=(Page(1, text),), encoding=Encoding("utf-8", "valid"), warnings=warnings
    )


def decode(data: bytes, where: str, encoding: str | None) -> tuple[str, tuple[str, ...]]:
    """The text of `data` with newlines as "\\n", and the warnings a reader should see.

    The encoding is `encoding` if given, else what a byte order mark says, else UTF-8, else a guess (with a
    warning). Raises NotTextError for binary data and HipError where `encoding` does not fit; `where` names
    the document in both.
    """
    warnings: tuple[str, ...] = ()
    if encoding is not None:
        text = _decode_as(encoding, data, where)
    elif (marked := _marked_encoding(data)) is not None:
        text = _decode_as(marked, data, where)
    elif looks_binary(data):
        raise not_text(where)
    else:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text, guess = _guess(data, where)
            warnings = (f"read as {guess}, which is a guess: name the encoding with --encoding if it is wrong.",)
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), warnings


def looks_binary(data: bytes) -> bool:
    """Whether `data` (the beginning of a file is enough) has NUL bytes that no byte order mark explains."""
    return b"\0" in data and _marked_encoding(data) is None


def not_text(where: str) -> NotTextError:
    return NotTextError(
        f"{where}: is binary, or text in an unknown encoding",
        "if it is text, name its encoding, for example --encoding utf-16-le",
    )


def check_encoding(name: str) -> None:
    """Raise HipError (usage) unless `name` is a text encoding Python knows."""
    try:
        # Not codecs.lookup, which also knows codecs that make no text; and not b"", which is never looked at.
        b"a".decode(name)
    except UnicodeError:
        return
    except (LookupError, ValueError) as error:
        raise HipError(
            f"--encoding {name}: unknown encoding",
            "use a name such as utf-8, cp1252, shift_jis or utf-16-le",
            ExitCode.USAGE,
        ) from error


def _marked_encoding(data: bytes) -> str | None:
    return next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)


def _decode_as(encoding: str, data: bytes, where: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeError as error:
        position = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise HipError(
            f"{where}: not valid {encoding}{position}",
            "name the encoding it is really in with --encoding",
        ) from error


def _guess(data: bytes, where: str) -> tuple[str, str]:
    from charset_normalizer import from_bytes

    matches = from_bytes(data)
    best = matches.best()
    if best is None:
        raise not_text(where)
    for match in matches:
        # It finds French, Portuguese and Swedish as likely in cp1250; by far the most files are in cp1252.
        if "cp1252" in match.could_be_from_charset and match.chaos <= best.chaos:
            return str(match), "cp1252"
    return str(best), best.encoding
