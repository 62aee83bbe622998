"""PATH... to documents: files, directories and standard input, each read once and in order."""

import io
import os
import stat
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from hipcli.documents.document import Document, Skipped
from hipcli.documents.folders import walk
from hipcli.documents.options import MIB, ReadOptions
from hipcli.documents.pool import Pool, Request
from hipcli.documents.reading import ReadingError, Result
from hipcli.errors import ExitCode, HipError

STDIN = "-"
_MOST_PARALLEL = 8


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


def read_documents(paths: Sequence[str], options: ReadOptions, stdin: BinaryIO) -> Generator[Result]:
    """Every document below `paths`, in order; the files of a directory are sorted by path.

    A document that cannot be read yields its error in its place, a file of a directory that is none yields
    Skipped, and the rest go on. The generator is to be closed where it does not come to its end. Raises HipError
    (usage) before anything is read if `paths` has "-" twice.
    """
    if list(paths).count(STDIN) > 1:
        raise HipError("standard input: can be read only once", "name - once", ExitCode.USAGE)
    return _read_all(paths, options, stdin)


def read_or_raise(paths: Sequence[str] | None) -> list[Document]:
    """All documents below `paths`, read without any options. Raises the first HipError that one of them gives."""
    stdin = standard_input()
    documents = []
    with closing(read_documents(default_paths(paths, stdin), ReadOptions(), stdin)) as results:
        for result in results:
            if isinstance(result, ReadingError):
                raise result
            if isinstance(result, Document):
                documents.append(result)
    return documents


@dataclass(frozen=True)
class _Edge:
    """The begin or the end of what a directory holds, among the results of reading."""

    root: str
    end: bool


def _read_all(paths: Sequence[str], options: ReadOptions, stdin: BinaryIO) -> Generator[Result]:
    found = False
    with Pool(options, _parallel()) as pool:
        for item in pool.read(_requests(paths, options, stdin)):
            if isinstance(item, _Edge):
                if item.end and not found:
                    hint = "hidden, ignored, linked, empty and binary files are not; see --no-gitignore and --links"
                    yield ReadingError(item.root, HipError(f"{item.root}: nothing to read in this directory", hint))
                found = False
            else:
                found = found or not isinstance(item, Skipped)
                yield item


def _parallel() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_PARALLEL)


def _requests(paths: Sequence[str], options: ReadOptions, stdin: BinaryIO) -> Iterator[Request | Result | _Edge]:
    for path in paths:
        if path == STDIN:
            yield _standard_input(stdin, options)
        elif os.path.isdir(path):
            yield _Edge(path, end=False)
            for item in walk(path, options):
                if isinstance(item, OSError):
                    yield _unreadable(item.filename, item)
                else:
                    yield item if isinstance(item, Skipped) else _file(item, options, True)
            yield _Edge(path, end=True)
        else:
            yield _file(path, options, False)


def _file(path: str, options: ReadOptions, found: bool) -> Request | ReadingError:
    try:
        # Opened here, where a path means what the user meant by it: /dev/fd/63 is another file elsewhere.
        file = open(path, "rb")  # noqa: SIM115
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            with file:
                return _request(os.dup(file.fileno()), path, path, options, found)
        with file:
            return _request(_copy(file, options), path, path, options, found)
    except OSError as error:
        return _unreadable(path, error)


def _standard_input(stdin: BinaryIO, options: ReadOptions) -> Request | ReadingError:
    try:
        return _request(_copy(stdin, options), STDIN, "standard input", options, found=False)
    except (OSError, ValueError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "closed"
        hint = "pipe a document into hip, or name a file in place of -"
        return ReadingError(STDIN, HipError(f"standard input: {reason}", hint))


def _request(file: int, path: str, where: str, options: ReadOptions, found: bool) -> Request | ReadingError:
    size = os.fstat(file).st_size
    if size <= options.most_bytes:
        return Request(file, path, where, found)
    os.close(file)
    hint = "allow more with --read-memory, which is four times that"
    return ReadingError(path, HipError(f"{where}: has more than {options.most_bytes // MIB:,} MiB", hint))


def _copy(stream: BinaryIO, options: ReadOptions) -> int:
    """The descriptor of a nameless file with what `stream` gives: a pipe can be read only once."""
    with tempfile.TemporaryFile() as copy:
        left = options.most_bytes + 1
        while left and (part := stream.read(min(left, MIB))):
            copy.write(part)
            left -= len(part)
        copy.flush()
        return os.dup(copy.fileno())


def _unreadable(path: str, error: OSError) -> ReadingError:
    hints: dict[type[OSError], str] = {
        FileNotFoundError: "check the spelling of the path",
        PermissionError: "you need permission to read it: see ls -l",
    }
    hint = hints.get(type(error), "check the path and the disk")
    return ReadingError(path, HipError(f"{path}: {_reason(error)}", hint))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
