"""A file of text: its bytes decoded, with one kind of newline."""

from typing import TYPE_CHECKING

from hipcli.documents.document import Content, Page
from hipcli.documents.readers.text.encodings import Decoded, decoded_as, decoded_by_itself
from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    from hipcli.documents.options import ReadOptions


class NotTextError(HipError):
    """The bytes are no text in any encoding that can be recognised. For `alike`, see Skipped."""

    alike = False


def read(data: bytes, where: str, options: "ReadOptions") -> Content:
    """The text in `data` as one page. Raises NotTextError for binary data, HipError where --encoding is wrong."""
    decoded = decode_text(data, where, options.encoding)
    return Content(
        kind="text",
        reader="text",
        pages=(Page(1, decoded.text),),
        encoding=decoded.encoding,
        warnings=decoded.warnings,
    )


def decode(data: bytes, where: str, encoding: str | None) -> tuple[str, tuple[str, ...]]:
    """The text of decode_text and its warnings."""
    decoded = decode_text(data, where, encoding)
    return decoded.text, decoded.warnings


def decode_text(data: bytes, where: str, encoding: str | None) -> Decoded:
    """The text of `data` with newlines as "\\n", in `encoding` if given, and else in the one that it seems to be in.

    Raises NotTextError for binary data and HipError where `encoding` does not fit; `where` names the document in both.
    """
    if encoding is not None:
        try:
            decoded = decoded_as(encoding, data)
        except UnicodeError as error:
            position = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
            raise HipError(
                f"{where}: not valid {encoding}{position}", "name the encoding it is really in with --encoding"
            ) from error
    else:
        found = decoded_by_itself(data)
        if found is None:
            raise not_text(where)
        decoded = found
    text = decoded.text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return Decoded(text, decoded.encoding, decoded.warnings)


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
