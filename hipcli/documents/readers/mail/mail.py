"""E-mail: one message (eml) or a mailbox (mbox), with what is attached as files inside."""

import re
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.archives.member_names import MemberNames
from hipcli.documents.readers.mail.mail_body import Body
from hipcli.documents.readers.mail.mail_headers import header_values, shown_headers
from hipcli.errors import HipError

# The line that begins a message of a mailbox: "From WHO WHEN", with a time of day.
_BEGIN = re.compile(rb"^From [^\r\n]{0,300}[0-9]:[0-9]{2}[^\r\n]{0,60}\r?\n", re.MULTILINE)
_QUOTED = re.compile(rb"^>(>{0,99}From )", re.MULTILINE)


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The message in `data` as one page, or each message of a mailbox as one. Raises HipError if it is no message."""
    names = MemberNames()
    if not data.startswith(b"From "):
        body, page = _message(data, 1, where, options, names)
        return _content("mail", None, [body], [Page(1, page.text)])
    starts = [match for match in _BEGIN.finditer(data) if _after_blank_line(data, match.start())]
    if not starts:
        raise HipError(f"{where}: is no mailbox", "export it again as mbox")
    ends = [*(match.start() for match in starts[1:]), len(data)]
    read_ones = [
        _message(_QUOTED.sub(rb"\1", data[begin.end() : end]), number, where, options, names)
        for number, (begin, end) in enumerate(zip(starts, ends, strict=True), 1)
    ]
    return _content("mbox", "message", [body for body, _ in read_ones], [page for _, page in read_ones])


def _message(data: bytes, number: int, where: str, options: ReadOptions, names: MemberNames) -> tuple[Body, Page]:
    try:
        message = _parsed(data)
        body = Body(message, where, options, names)
    except RecursionError as error:
        hint = "open it in a mail program and save what is inside"
        raise HipError(f"{where}: has parts in parts without end", hint) from error
    if not message.keys() and number == 1:
        body.warnings.append("has no headers as a message does; it is read as text.")
    head = "\n".join(shown_headers(message))
    text = "\n\n".join(part for part in (head, *(text.strip("\n") for text in body.texts)) if part.strip())
    return body, Page(number, text, " ".join(header_values(message, "Subject")) or None)


def _parsed(data: bytes) -> Message:
    parser = BytesParser(policy=compat32)
    try:
        return parser.parsebytes(data)
    except ValueError:  # at a zero byte in certain headers, where none may be
        return parser.parsebytes(data.replace(b"\0", b""))


def _content(kind: str, unit: str | None, bodies: list[Body], pages: list[Page]) -> Content:
    one = len(bodies) == 1
    return Content(
        kind=kind,
        reader="email",
        unit=unit,
        pages=tuple(pages),
        warnings=_said([body.warnings for body in bodies], one),
        dropped=_said([body.dropped for body in bodies], one),
        members=tuple(member for body in bodies for member in body.members),
    )


def _said(sentences: list[list[str]], one: bool) -> tuple[str, ...]:
    """Each sentence once, with the messages of a mailbox that it is about."""
    about: dict[str, list[int]] = {}
    for number, said in enumerate(sentences, 1):
        for sentence in dict.fromkeys(said):
            about.setdefault(sentence, []).append(number)
    if one:
        return tuple(about)
    return tuple(f"message {format_page_ranges(numbers)}: {sentence}" for sentence, numbers in about.items())


def _after_blank_line(data: bytes, start: int) -> bool:
    return start == 0 or data[max(0, start - 4) : start].endswith((b"\n\n", b"\n\r\n"))
