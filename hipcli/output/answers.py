"""Answers on standard output or in a file, as text or as JSON."""

import contextlib
import json
import os
import re
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from hipcli.errors import ExitCode, HipError
from hipcli.output.messages import one_line
from hipcli.output.printable import Printable, as_text, printable

STDOUT = Path("-")
_PIPE = 16_384  # characters: at most 64 KiB, what a pipe holds
_DESCRIPTORS = re.compile(r"/dev/fd|/proc/\d+(/task/\d+)?/fd")


class Output:
    """Where answers are written: standard output (None or "-"), or a file.

    A file is written under a temporary name and renamed at the end of the `with` block; if the block raises, or wrote
    nothing, it is deleted. Devices, named pipes and open descriptors such as /dev/stdout are written to, not replaced.
    A terminal gets text with escapes in place of what would steer it (`hipcli.output.printable`); everything else gets
    it as it is, but for U+FFFD in place of what no text holds. `option` is what chose the file. Raises HipError when
    the file cannot be created (exit code 2) or written (exit code 1). BrokenPipeError is not caught.
    """

    def __init__(self, path: Path | None = None, option: str = "--output") -> None:
        self._path = None if path == STDOUT else path
        self._option = option
        self._temporary: Path | None = None
        self._stream: TextIO = sys.stdout
        self._column = 0
        self._written = False
        self._printable = Printable()
        try:
            if self._path is not None:
                self._open(self._path)
            self.terminal = self._stream.isatty()
        except BaseException:  # such as Ctrl-C
            self._remove_temporary()
            raise

    def write(self, text: str) -> None:
        """Write `text` and flush. On a terminal, a last character that depends on the next one waits for it."""
        self._write(self._printable.feed(text) if self.terminal else as_text(text))

    def _write(self, text: str) -> None:
        if not text:
            return
        try:
            # A pipe may accept only part of a long write; an unbuffered stream then loses the rest without an error.
            for start in range(0, len(text), _PIPE):
                self._stream.write(text[start : start + _PIPE])
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise HipError(f"{self._path or 'standard output'}: {error.strerror}") from error
        self._written = True
        self._column = len(text) - text.rfind("\n") - 1

    def end_line(self) -> None:
        """Write a line feed unless the last text written ended with one."""
        self._write(self._printable.end())
        if self._column:
            self.write("\n")

    @property
    def separator(self) -> str:
        """The blank line before an answer's title: a line feed, or nothing before the first answer."""
        return "\n" if self._written else ""

    @property
    def utf8(self) -> bool:
        return (self._stream.encoding or "").lower().replace("-", "") == "utf8"

    def __enter__(self) -> "Output":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None:
            self._close(error)
        elif error is None:
            self._write(self._printable.end())
        elif not isinstance(error, BrokenPipeError):
            with contextlib.suppress(HipError, OSError):
                self.end_line()

    def _open(self, path: Path) -> None:
        try:
            self._stream = self._opened(path)
        except OSError as error:
            hint = f"choose a place that can be written to with {self._option}"
            raise HipError(f"{path}: {error.strerror}", hint, ExitCode.USAGE) from error

    def _opened(self, path: Path) -> TextIO:
        descriptor = _descriptor(path)
        if descriptor is not None:
            # Opened by its name, a file would be written from its beginning again.
            return open(os.dup(descriptor), "w", encoding="utf-8")
        if not is_replaced(path):
            return path.open("w", encoding="utf-8")
        target = Path(os.path.realpath(path))  # links are followed, not replaced
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        self._temporary = temporary  # before it is there: signals come in between
        try:
            number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            self._temporary = None
            raise
        if target.exists():
            os.fchmod(number, stat.S_IMODE(target.stat().st_mode))
        return open(number, "w", encoding="utf-8")

    def _close(self, error: BaseException | None) -> None:
        try:
            if error is None:
                self._write(self._printable.end())
            self._stream.close()
            if self._temporary is not None and error is None and self._written:
                os.replace(self._temporary, os.path.realpath(self._path or ""))
        except OSError as fault:
            if error is None and not isinstance(fault, BrokenPipeError):
                raise HipError(f"{self._path}: {fault.strerror}") from fault
            if error is None:
                raise
        finally:
            self._remove_temporary()

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


def is_replaced(path: Path) -> bool:
    """Whether it is a file, or will be one, and no device, named pipe or open descriptor."""
    return _descriptor(path) is None and (path.is_file() or not path.exists())


def _descriptor(path: Path) -> int | None:
    """The number of the open descriptor of this process that `path` names, such as 1 for /dev/stdout; else None."""
    for _ in range(40):  # as many links as Linux follows
        folder = os.path.realpath(path.parent)
        own = folder == "/dev/fd" or folder.startswith(f"/proc/{os.getpid()}/")
        if own and _DESCRIPTORS.fullmatch(folder) and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(folder, os.readlink(path))
    return None


def write_json(output: Output, value: dict[str, Any], indent: int | None = 2) -> None:
    """Write `value` as one JSON object, followed by a line feed; without an `indent` on a line of its own.

    Escapes of JSON stand for what no text holds, such as the lone surrogates of file names that are not valid UTF-8,
    and on a terminal for what would steer it.
    """
    text = json.dumps(value, ensure_ascii=not output.utf8, indent=indent)
    escaped = printable(text, _json_escape) if output.terminal else as_text(text, _json_escape)
    output.write(escaped + "\n")


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1]


class AnswerWriter:
    """Collects the pieces of one answer in `text` and writes each to `output`, if there is one, below the title."""

    def __init__(self, output: Output | None, title: str | None) -> None:
        self._output = output
        self._title = title
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces).rstrip()

    def write(self, text: str) -> None:
        """Add a piece of the answer. White space before the first word is dropped."""
        if not self._pieces:
            text = text.lstrip()
            if not text:
                return
            self._begin()
        self._pieces.append(text)
        if self._output:
            self._output.write(text)

    def mark(self, text: str) -> None:
        """Write something between two pieces that is no part of the answer."""
        if self._output:
            self._output.write(text)

    def end(self) -> None:
        """End the answer's last line. The title of an empty answer is written, too."""
        if self._output:
            if not self._pieces:
                self._begin()
            self._output.end_line()

    def _begin(self) -> None:
        if self._output and self._title is not None:
            self._output.write(f"{self._output.separator}## {one_line(self._title)}\n\n")
