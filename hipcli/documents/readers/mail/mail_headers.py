"""Headers of messages, as a person reads them."""

import binascii
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message

_SHOWN = ("From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Date", "Subject")
_MOST_BYTES = 100_000  # of one header


def shown_headers(message: Message) -> Iterator[str]:
    """ "From: ...", "To: ...", "Subject: ..." and the like, as far as the message has them."""
    for name in _SHOWN:
        for value in header_values(message, name):
            yield f"{name}: {value}"


def header_values(message: Message, name: str) -> list[str]:
    """The values of all headers of that name, decoded, each in one line."""
    return [_decoded(str(value)) for key, value in message.raw_items() if key.lower() == name.lower()]


def decoded_name(name: str) -> str:
    """The name of an attachment, which many programs write as a header, against the standard."""
    return _decoded(name)


def _decoded(raw: str) -> str:
    text = _letters(raw[:_MOST_BYTES].encode("utf-8", "surrogateescape"), None)
    if "=?" in text:
        try:
            parts = decode_header(text)
        except (HeaderParseError, binascii.Error, ValueError):
            parts = [(text, None)]
        text = "".join(part if isinstance(part, str) else _letters(part, charset) for part, charset in parts) or text
    return " ".join(text.split())


def _letters(data: bytes, charset: str | None) -> str:
    for name in (charset, "utf-8"):
        try:
            return data.decode(name or "utf-8")
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace")
