"""The parts of one message: its text, and what is attached."""

import mimetypes
from base64 import b64decode
from collections.abc import Callable
from email.errors import MessageDefect, MessageError
from email.message import Message
from functools import partial

from hipcli.documents.document import Member
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.archives.member_names import MemberNames
from hipcli.documents.readers.mail.mail_headers import decoded_name, header_values
from hipcli.documents.readers.text.declared import decode_declared
from hipcli.documents.readers.text.encodings import Decoded
from hipcli.documents.readers.text.text import NotTextError
from hipcli.documents.readers.web.html import declared_charset, joined_text, markup_dropped, read_page
from hipcli.errors import HipError

_TNEF = ("application/ms-tnef", "application/vnd.ms-tnef")
_SIGNATURES = ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature")
_SMIME = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_NOTICES = ("message/delivery-status", "message/disposition-notification", "text/rfc822-headers")
_PGP = "-----BEGIN PGP MESSAGE-----"
_FAR_MORE = 2  # times the plain text, and a stub: then the plain text is not all of the message
_STUB = 200


class Body:
    """Takes a message apart. `texts` are to be read one below the other; `members` have names from `names`."""

    def __init__(self, message: Message, where: str, options: ReadOptions, names: MemberNames) -> None:
        self.texts: list[str] = []
        self.members: list[Member] = []
        self.warnings: list[str] = []
        self.dropped: list[str] = []
        self._where = where
        self._options = options
        self._names = names
        pending = [message]
        while pending:
            pending += reversed(self._take(pending.pop()))

    def _take(self, part: Message) -> list[Message]:
        """Take what `part` holds; returns the parts inside it that are to be taken next."""
        kind = part.get_content_type()
        if kind.startswith("multipart/") and part.is_multipart():
            return self._inner(part, kind)
        if kind.startswith("message/") and part.is_multipart():
            self._message(part, kind)
        elif kind.startswith("text/") and _is_body(part):
            text = self._html(part) if kind == "text/html" else self._plain(part)
            if _PGP in text:
                self.warnings.append("is encrypted in part (PGP), and that is not read.")
            self.texts.append(text)
        else:
            self._attach(part, kind)
        return []

    def _inner(self, part: Message, kind: str) -> list[Message]:
        if kind == "multipart/encrypted":
            self.warnings.append("is encrypted (PGP), and its text is not read.")
            return []
        if kind == "multipart/signed":
            self.dropped.append("The signature is left out, and is not checked.")
        return self._chosen(_parts(part)) if kind == "multipart/alternative" else _parts(part)

    def _chosen(self, parts: list[Message]) -> list[Message]:
        """Of several forms of a text the plain one, unless that is a stub; with all that is no form of it."""
        leaves = [leaf for part in parts for leaf in _leaves(part)]
        plain = [leaf for leaf in leaves if leaf.get_content_type() == "text/plain" and _is_body(leaf)]
        rich = [leaf for leaf in leaves if leaf.get_content_type() == "text/html" and _is_body(leaf)]
        if not plain or not rich:
            return leaves
        shown = len(joined_text(read_page(self._decoded(rich[-1], True).text, self._options)))
        stub = shown > _FAR_MORE * len(self._decoded(plain[0], False).text.strip()) + _STUB
        return [leaf for leaf in leaves if leaf not in (plain if stub else rich)]

    def _message(self, part: Message, kind: str) -> None:
        for message in _parts(part):
            if kind in _NOTICES:
                self.texts.append("\n".join(f"{name}: {value}" for name, value in message.items()))
                continue
            subject = " ".join(header_values(message, "Subject")) or "message"
            self._add(f"{subject.replace('/', '-')}.eml", partial(_as_bytes, part, message, self._where))

    def _attach(self, part: Message, kind: str) -> None:
        name = _file_name(part)
        if kind in _SIGNATURES:
            self.dropped.append("The signature is left out, and is not checked.")
        elif kind in _TNEF or (name or "").lower() == "winmail.dat":
            self._add(name or "winmail.dat", bytes, "is in Outlook's own format (TNEF), which is not read")
        elif kind in _SMIME:
            self._add(name or "smime.p7m", bytes, "is encrypted or signed (S/MIME), which is not read")
        elif kind == "message/external-body":
            self.warnings.append("names a part that is stored elsewhere and is not read.")
        else:
            self._payload(part)  # says now, and not when the file is read, what is wrong with it
            suffix = mimetypes.guess_extension(kind) or ".bin"
            self._add(name or f"part{suffix}", partial(self._payload, part))

    def _add(self, name: str, read: Callable[[], bytes], skipped: str | None = None) -> None:
        self.members.append(Member(self._names.unique(name), read, skipped))

    def _plain(self, part: Message) -> str:
        decoded = self._decoded(part, False)
        self.warnings += decoded.warnings
        return decoded.text

    def _html(self, part: Message) -> str:
        decoded = self._decoded(part, True)
        markup = read_page(decoded.text, self._options)
        self.warnings += decoded.warnings
        self.dropped += markup_dropped(markup)
        return joined_text(markup)

    def _decoded(self, part: Message, is_html: bool) -> Decoded:
        data = self._payload(part)
        charset = _charset(part) or (declared_charset(data) if is_html else None)
        try:
            return decode_declared(data, self._where, charset, self._options.encoding)
        except NotTextError:
            text = data.decode("utf-8", "replace").replace("\0", "")
            return decode_declared(text.encode(), self._where, None, None)._replace(
                warnings=("has a text that seems to be none: it is damaged, or in an unknown encoding.",)
            )

    def _payload(self, part: Message) -> bytes:
        data = part.get_payload(decode=True)
        if broken := [defect for defect in part.defects if "Base64" in type(defect).__name__]:
            self._say_broken(broken[0])
        return data if isinstance(data, bytes) else b""

    def _say_broken(self, defect: MessageDefect) -> None:
        warning = f"has a part in damaged base64 ({type(defect).__name__}): some of it may be missing."
        if warning not in self.warnings:
            self.warnings.append(warning)


def _parts(part: Message) -> list[Message]:
    parts = part.get_payload()
    return [inner for inner in parts if isinstance(inner, Message)] if isinstance(parts, list) else []


def _leaves(part: Message) -> list[Message]:
    """The parts in `part` that are no containers, or itself."""
    leaves, pending = [], [part]
    while pending:
        part = pending.pop()
        if part.get_content_type().startswith("multipart/") and part.is_multipart():
            pending += reversed(_parts(part))
        else:
            leaves.append(part)
    return leaves


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except (LookupError, ValueError):  # a name that is encoded, and that wrongly
        return None


def _file_name(part: Message) -> str | None:
    try:
        name = part.get_filename()
    except (LookupError, ValueError):
        name = "unnamed"
    return decoded_name(name) if name else None


def _is_body(part: Message) -> bool:
    """Whether a part is text of the message, and not a file that is sent with it."""
    return _file_name(part) is None and part.get_content_disposition() != "attachment"


def _as_bytes(part: Message, message: Message, where: str) -> bytes:
    """The message in `part`, which some programs send in base64, against the standard."""
    try:
        data = message.as_bytes()
        encoded = str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64"
        return b64decode(data) if encoded and not message.keys() else data
    except (MessageError, LookupError, ValueError, RecursionError) as error:
        raise HipError(f"{where}: holds a message that is damaged", "save that message by itself") from error
