"""The bytes of one file to documents: its own, and those of the files inside it."""

import hashlib
from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from hipcli.documents import marks
from hipcli.documents.document import Content, Document, Member, Skipped
from hipcli.documents.formats import reader, reader_name
from hipcli.documents.options import MIB, ReadOptions
from hipcli.documents.readers.text.text import NotTextError
from hipcli.errors import HipError

_MOST_NESTED = 4  # an archive in an archive in a message ...
_MOST_INSIDE = 2  # times the biggest file that can be read, for all files together that are inside one


class ReadingError(HipError):
    """Why the file at `path`, which is a document or should be, cannot be read."""

    def __init__(self, path: str, error: HipError) -> None:
        super().__init__(error.message, error.hint, error.exit_code)
        self.path = path


Result = Document | Skipped | ReadingError


@dataclass(frozen=True)
class Begun:
    """The file at `path` is being read from here on."""

    path: str


@dataclass(frozen=True)
class Ended:
    """The file at `path` and those inside it are read, or never will be."""

    path: str


class EmptyError(HipError):
    """The document has no text to read."""


@dataclass
class _Budget:
    """How many bytes of files inside a file may still be unpacked."""

    left: int


@dataclass(frozen=True)
class _Around:
    """How many files are around one, and what is said about those that are no documents themselves."""

    depth: int
    warnings: tuple[str, ...]
    budget: _Budget


def read_bytes(
    data: bytes, path: str, where: str, options: ReadOptions, found: bool, ended: Set[str] = frozenset()
) -> Iterator[Result | Begun | Ended]:
    """The document in `data`, called `where` in errors, and then every file inside it, named "PATH/MEMBER".

    What cannot be read yields its error in its place; what is no document at all is Skipped, if it was `found` in a
    directory or an archive and not named. Members whose paths are in `ended` are passed over.
    """
    around = _Around(0, (), _Budget(_MOST_INSIDE * options.most_bytes))
    return _read_all(data, path, where, options, found, ended, around)


def _read_all(
    data: bytes, path: str, where: str, options: ReadOptions, found: bool, ended: Set[str], around: _Around
) -> Iterator[Result | Begun | Ended]:
    yield Begun(path)
    warnings: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    try:
        content = _read(data, path, where, options)
        members = content.members
        warnings = (*around.warnings, *content.warnings)
        # What has nothing but files inside, such as a message without a word, is a container.
        if not members or _has_text(content):
            yield _document(replace(content, warnings=warnings), path, where, options, data)
            warnings = ()
    except (NotTextError, EmptyError) as error:
        reason, alike = error.message.removeprefix(f"{where}: "), isinstance(error, NotTextError) and error.alike
        yield Skipped(path, reason, alike=alike) if found else ReadingError(path, error)
    except HipError as error:
        yield ReadingError(path, error)
    inside = replace(around, depth=around.depth + 1, warnings=warnings)
    for member in members:
        inner = f"{path}/{member.name}"
        if around.budget.left < 0:
            what = f"unpacks to more than {_MOST_INSIDE * options.most_bytes // MIB:,} MiB"
            hint = "unpack it and name the files to read, or allow more with --read-memory"
            yield ReadingError(path, HipError(f"{where}: {what}: not read from {member.name} on", hint))
            break
        if inner not in ended:
            yield from _read_member(member, inner, options, ended, inside)
    yield Ended(path)


def _read_member(
    member: Member, path: str, options: ReadOptions, ended: Set[str], around: _Around
) -> Iterator[Result | Begun | Ended]:
    yield Begun(path)
    skipped = f"is in {_MOST_NESTED} files around each other" if around.depth > _MOST_NESTED else member.skipped
    if skipped is not None:
        yield Skipped(path, skipped, member.quiet)
        yield Ended(path)
        return
    try:
        data = member.read()
    except HipError as error:
        yield ReadingError(path, error)
        yield Ended(path)
        return
    around.budget.left -= len(data)
    yield from _read_all(data, path, path, options, True, ended, around)


def _read(data: bytes, path: str, where: str, options: ReadOptions) -> Content:
    if not data:
        raise EmptyError(f"{where}: empty", "check that the program which made it came to its end")
    return reader(reader_name(path, data))(data, where, options)


def _has_text(content: Content) -> bool:
    return any(page.text.strip() for page in content.pages)


def _document(content: Content, path: str, where: str, options: ReadOptions, data: bytes) -> Document:
    if not _has_text(content):
        what = "has no text, only white space" if not content.warnings else f"has no text: {' '.join(content.warnings)}"
        raise EmptyError(f"{where}: {what.removesuffix('.')}", "check that it is the file you mean")
    warnings = content.warnings
    alike = sum(marks.count(page.text) for page in content.pages)
    if alike:
        places = "1 place looks" if alike == 1 else f"{alike:,} places look"
        warnings = (*warnings, f"{places} like hip's own marks of documents and pages: a prompt has a backslash there.")
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
