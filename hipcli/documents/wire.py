"""Messages between `hip` and its readers: JSON behind its length in 8 bytes, on a socket that can carry a file."""

import json
import socket
import struct
from dataclasses import asdict
from typing import Any

from hipcli.documents.document import Document, Encoding, Page, Skipped
from hipcli.documents.reading import ReadingError, Result
from hipcli.errors import ExitCode, HipError

_LENGTH = struct.Struct(">Q")

Message = dict[str, Any]


def send(channel: socket.socket, message: Message, file: int | None = None) -> None:
    """Send `message`, and with it the file of that descriptor. Raises OSError where nobody listens any more."""
    # File names that are not valid UTF-8 have lone surrogates.
    data = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    socket.send_fds(channel, [_LENGTH.pack(len(data))], [] if file is None else [file])
    channel.sendall(data)


def receive(channel: socket.socket) -> tuple[Message, int | None] | None:
    """The next message and the file that came with it, None where the other side has gone."""
    head, files, _, _ = socket.recv_fds(channel, _LENGTH.size, 1)
    file = files[0] if files else None
    head += _exactly(channel, _LENGTH.size - len(head)) if head else b""
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = _exactly(channel, length)
    if len(data) < length:
        return None
    return json.loads(data.decode("utf-8", "surrogatepass")), file


def from_result(result: Result) -> Message:
    """`result` as JSON."""
    if isinstance(result, ReadingError):
        return {"error": [result.path, result.message, result.hint, int(result.exit_code)]}
    return {"document" if isinstance(result, Document) else "skipped": asdict(result)}


def to_result(message: Message) -> Result:
    """The inverse of `from_result`."""
    if "error" in message:
        path, text, hint, code = message["error"]
        return ReadingError(path, HipError(text, hint, ExitCode(code)))
    if "skipped" in message:
        return Skipped(**message["skipped"])
    fields = dict(message["document"])
    fields["pages"] = tuple(Page(**page) for page in fields["pages"])
    fields["encoding"] = fields["encoding"] and Encoding(**fields["encoding"])
    for name in ("warnings", "dropped"):
        fields[name] = tuple(fields[name])
    return Document(**fields)


def _exactly(channel: socket.socket, length: int) -> bytes:
    """So many bytes, fewer where the other side has gone."""
    data = bytearray(length)
    view, start = memoryview(data), 0
    while start < length:
        got = channel.recv_into(view[start:])
        if not got:
            break
        start += got
    return bytes(view[:start])
