"""PATH... to documents: files, directories and standard input, each read once and in order."""

import hashlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from hipcli.documents.document import Document, Page
from hipcli.documents.folders import check_patterns, walk
from hipcli.documents.page_ranges import PageRanges, parse_page_ranges
from hipcli.documents.text import NotTextError, check_encoding, decode, looks_binary, not_text
from hipcli.errors import ExitCode, HipError

STDIN = "-"
_PDF_MAGIC = b"%PDF-"
_BEFORE_MAGIC = b"\xef\xbb\xbf\0 \t\r\n"
_SNIFF_BYTES = 8192  # enough to tell a binary file before reading gigabytes of it


@dataclass(frozen=True)
class ReadOptions:
    """How to read. Raises HipError (usage) where a value is nonsense.

    `include`, `exclude` and `gitignore` choose among the files of directories; a file named by itself is
    always read. `pages` such as "3-40,77" and `password` are for PDFs, `encoding` is for text.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    gitignore: bool = True
    pages: str | None = None
    password: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        check_patterns("--include", self.include)
        check_patterns("--exclude", self.exclude)
        if self.pages is not None:
            parse_page_ranges(self.pages)
        if self.encoding is not None:
            check_encoding(self.encoding)

    @property
    def page_ranges(self) -> PageRanges | None:
        return None if self.pages is None else parse_page_ranges(self.pages)


class EmptyError(HipError):
    """The document has no text to read."""


def standard_input() -> BinaryIO:
    """The bytes of standard input; a closed stream where the program was started without one."""
    if sys.stdin is not None:
        return sys.stdin.buffer
    closed = io.BytesIO()
    closed.close()
    return closed


def default_paths(paths: Sequence[str] | None, stdin: BinaryIO) -> list[str]:
    """`paths`, or standard input if there are none.

    Raises HipError (usage) where that would wait for somebody to type a document.
    """
    if paths:
        return list(paths)
    try:
        piped = not stdin.isatty()
    except (ValueError, OSError):  # closed
        piped = False
    if not piped:
        raise HipError(
            "no documents: no PATH is given and nothing is piped in",
            "name files or directories, or pipe text into hip",
            ExitCode.USAGE,
        )
    return [STDIN]


def read_documents(paths: Sequence[str], options: ReadOptions, stdin: BinaryIO) -> Iterator[Document | HipError]:
    """Every document below `paths`, in order; the files of a directory are sorted by path.

    A document that cannot be read yields its HipError in its place, and the rest go on. Raises HipError
    (usage) before anything is read if `paths` has "-" twice.
    """
    if list(paths).count(STDIN) > 1:
        raise HipError("standard input: can be read only once", "name - once", ExitCode.USAGE)
    return _read_all(paths, options, stdin)


def _read_all(paths: Sequence[str], options: ReadOptions, stdin: BinaryIO) -> Iterator[Document | HipError]:
    for path in paths:
        if path == STDIN:
            yield _read_stdin(stdin, options)
        elif os.path.isdir(path):
            yield from _read_directory(path, options)
        else:
            yield _read_file(path, options)


def _read_directory(root: str, options: ReadOptions) -> Iterator[Document | HipError]:
    found = False
    for path in walk(root, options.include, options.exclude, options.gitignore):
        result = _unreadable(path.filename, path) if isinstance(path, OSError) else _read_file(path, options)
        if not isinstance(result, NotTextError | EmptyError):
            found = True
            yield result
    if not found:
        yield HipError(
            f"{root}: nothing to read in this directory",
            "hidden, ignored, empty and binary files are skipped; see --include and --no-gitignore",
        )


def _read_file(path: str, options: ReadOptions) -> Document | HipError:
    try:
        with open(path, "rb") as file:
            return _read(file, path, path, options)
    except OSError as error:
        return _unreadable(path, error)
    except HipError as error:
        return error


def _read_stdin(stdin: BinaryIO, options: ReadOptions) -> Document | HipError:
    try:
        return _read(stdin, STDIN, "standard input", options)
    except (OSError, ValueError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "closed"
        return HipError(f"standard input: {reason}", "pipe a document into hip, or name a file in place of -")
    except HipError as error:
        return error


def _read(stream: BinaryIO, path: str, where: str, options: ReadOptions) -> Document:
    """Read `stream` to its end as the document `path`, called `where` in errors."""
    head = stream.read(_SNIFF_BYTES)
    is_pdf = _is_pdf(path, head)
    if not is_pdf and options.encoding is None and looks_binary(head):
        raise not_text(where)
    data = head + stream.read()
    if not data:
        raise EmptyError(f"{where}: empty", "check that the program which made it came to its end")
    sha256 = hashlib.sha256(data).hexdigest()
    if is_pdf:
        from hipcli.documents.pdf import read_pdf

        pages, warnings = read_pdf(data, where, options.page_ranges, options.password)
        return Document(path, "pdf", pages, sha256, warnings)
    text, warnings = decode(data, where, options.encoding)
    if not text.strip():
        raise EmptyError(f"{where}: has no text, only white space", "check that it is the file you mean")
    if options.pages is not None:
        warnings = (*warnings, "--pages does not apply: only a PDF has pages.")
    return Document(path, "text", (Page(1, text),), sha256, warnings)


def _is_pdf(path: str, head: bytes) -> bool:
    if head.lstrip(_BEFORE_MAGIC).startswith(_PDF_MAGIC) or path.lower().endswith(".pdf"):
        return True
    # Some PDFs have other bytes first; but a text about PDFs is no PDF.
    return _PDF_MAGIC in head[:1024] and looks_binary(head)


def _unreadable(path: str, error: OSError) -> HipError:
    hints: dict[type[OSError], str] = {
        FileNotFoundError: "check the spelling of the path",
        PermissionError: "you need permission to read it: see ls -l",
    }
    return HipError(f"{path}: {_reason(error)}", hints.get(type(error), "check the path and the disk"))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
