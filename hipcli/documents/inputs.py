"""PATH... to documents: files, directories and standard input, each read once and in order."""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from hipcli.documents.document import Skipped
from hipcli.documents.folders import walk
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.text import NotTextError
from hipcli.documents.reading import EmptyError, Result, read_bytes
from hipcli.errors import ExitCode, HipError

STDIN = "-"


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


def read_documents(paths: Sequence[str], options: ReadOptions, stdin: BinaryIO) -> Iterator[Result]:
    """Every document below `paths`, in order; the files of a directory are sorted by path.

    A document that cannot be read yields its HipError in its place, and the rest go on. Raises HipError
    (usage) before anything is read if `paths` has "-" twice.
    """
    if list(paths).count(STDIN) > 1:
        raise HipError("standard input: can be read only once", "name - once", ExitCode.USAGE)
    return _read_all(paths, options, stdin)


def _read_all(paths: Sequence[str], options: ReadOptions, stdin: BinaryIO) -> Iterator[Result]:
    for path in paths:
        if path == STDIN:
            yield from _read_stdin(stdin, options)
        elif os.path.isdir(path):
            yield from _read_directory(path, options)
        else:
            yield from _read_file(path, options)


def _read_directory(root: str, options: ReadOptions) -> Iterator[Result]:
    found = False
    for path in walk(root, options.include, options.exclude, options.gitignore):
        if isinstance(path, OSError):
            found = True
            yield _unreadable(path.filename, path)
            continue
        for result in _read_file(path, options):
            if isinstance(result, NotTextError | EmptyError):
                yield Skipped(path, result.message.partition(": ")[2])
            else:
                found = True
                yield result
    if not found:
        yield HipError(
            f"{root}: nothing to read in this directory",
            "hidden, ignored, empty and binary files are skipped; see --include and --no-gitignore",
        )


def _read_file(path: str, options: ReadOptions) -> Iterator[Result]:
    try:
        with open(path, "rb") as file:
            data = file.read(options.most_bytes + 1)
    except OSError as error:
        yield _unreadable(path, error)
        return
    yield from read_bytes(data, path, path, options)


def _read_stdin(stdin: BinaryIO, options: ReadOptions) -> Iterator[Result]:
    try:
        data = stdin.read()
    except (OSError, ValueError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "closed"
        yield HipError(f"standard input: {reason}", "pipe a document into hip, or name a file in place of -")
        return
    yield from read_bytes(data, STDIN, "standard input", options)


def _unreadable(path: str, error: OSError) -> HipError:
    hints: dict[type[OSError], str] = {
        FileNotFoundError: "check the spelling of the path",
        PermissionError: "you need permission to read it: see ls -l",
    }
    return HipError(f"{path}: {_reason(error)}", hints.get(type(error), "check the path and the disk"))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
