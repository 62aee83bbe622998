"""The bytes of one file to documents: its own, and those of the files inside it."""

import hashlib
from collections.abc import Iterator

from hipcli.documents.document import Content, Document, Member, Skipped
from hipcli.documents.formats import reader, reader_name
from hipcli.documents.options import ReadOptions
from hipcli.errors import HipError

_MOST_NESTED = 4  # an archive in an archive in a message ...
_MOST_MEMBERS = 100_000

Result = Document | Skipped | HipError


class EmptyError(HipError):
    """The document has no text to read."""


def read_bytes(data: bytes, path: str, where: str, options: ReadOptions, depth: int = 0) -> Iterator[Result]:
    """The document in `data`, called `where` in errors, and then every file inside it, named "PATH/MEMBER".

    What cannot be read yields its HipError in its place.
    """
    try:
        content = _read(data, path, where, options)
    except HipError as error:
        yield error
        return
    if content.pages or not content.members:
        yield _document(content, path, where, options, data)
    for member in content.members:
        inner = f"{path}/{member.name}"
        if depth == _MOST_NESTED:
            yield Skipped(inner, f"is {_MOST_NESTED} files deep in others")
            continue
        yield from _read_member(member, inner, options, depth + 1)


def _read_member(member: Member, path: str, options: ReadOptions, depth: int) -> Iterator[Result]:
    try:
        data = member.read()
    except HipError as error:
        yield error
        return
    yield from read_bytes(data, path, path, options, depth)


def _read(data: bytes, path: str, where: str, options: ReadOptions) -> Content:
    if not data:
        raise EmptyError(f"{where}: empty", "check that the program which made it came to its end")
    return reader(reader_name(path, data))(data, where, options)


def _document(content: Content, path: str, where: str, options: ReadOptions, data: bytes) -> Document | HipError:
    if not any(page.text.strip() for page in content.pages):
        return EmptyError(f"{where}: has no text, only white space", "check that it is the file you mean")
    warnings = content.warnings
    if options.pages is not None and content.kind != "pdf":
        warnings = (*warnings, "--pages does not apply: only a PDF has pages.")
    return Document(
        path=path,
        kind=content.kind,
        pages=content.pages,
        sha256=hashlib.sha256(data).hexdigest(),
        warnings=warnings,
        dropped=content.dropped,
        unit=content.unit,
        reader=content.reader,
        encoding=content.encoding,
    )
