"""Answers on standard output or in a file, as text or as JSON."""

import contextlib
import json
import os
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from hipcli.errors import ExitCode, HipError
from hipcli.output.messages import one_line, printable

_PIPE = 16_384  # characters: at most 64 KiB, what a pipe holds


class Output:
    """Where answers are written: standard output, or a file.

    A file is written under a temporary name and renamed at the end of the `with` block; if the block raises, or wrote
    nothing, it is deleted. Control characters are removed from text that goes to a terminal. Raises HipError when the
    file cannot be created (exit code 2) or written (exit code 1). BrokenPipeError is not caught.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._temporary: Path | None = None
        self._stream: TextIO = sys.stdout
        self._column = 0
        self._written = False
        if path is not None:
            self._open(path)
        self.terminal = self._stream.isatty()

    def write(self, text: str) -> None:
        """Write `text` and flush."""
        if self.terminal:
            text = printable(text)
        try:
            # A pipe may accept only part of a long write; an unbuffered stream then loses the rest without an error.
            for start in range(0, len(text), _PIPE):
                self._stream.write(text[start : start + _PIPE])
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise HipError(f"{self._path or 'standard output'}: {error.strerror}") from error
        if text:
            self._written = True
            self._column = len(text) - text.rfind("\n") - 1

    def end_line(self) -> None:
        """Write a line feed unless the last text written ended with one."""
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
            self._close(complete=error is None and self._written)
        elif error is not None and not isinstance(error, BrokenPipeError):
            with contextlib.suppress(HipError, OSError):
                self.end_line()

    def _open(self, path: Path) -> None:
        try:
            # Symbolic links are followed, not replaced. Devices and named pipes are opened, not replaced.
            target = Path(os.path.realpath(path))
            if target.exists() and not target.is_file():
                self._stream = target.open("w", encoding="utf-8")
                return
            self._temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            self._stream = open(descriptor, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
            if target.exists():
                os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
        except OSError as error:
            hint = "choose a place that can be written to with --output"
            raise HipError(f"{path}: {error.strerror}", hint, ExitCode.USAGE) from error

    def _close(self, complete: bool) -> None:
        try:
            self._stream.close()
            if self._temporary is not None and complete:
                os.replace(self._temporary, os.path.realpath(self._path or ""))
        except OSError as error:
            raise HipError(f"{self._path}: {error.strerror}") from error
        finally:
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)


def write_json(output: Output, value: dict[str, Any]) -> None:
    """Write `value` as one JSON object, followed by a line feed."""
    text = json.dumps(value, ensure_ascii=not output.utf8, indent=2)
    # File names that are not valid UTF-8 contain lone surrogates, which only a JSON escape can represent.
    output.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")


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

    def end(self) -> None:
        """End the answer's last line. The title of an empty answer is written, too."""
        if self._output:
            if not self._pieces:
                self._begin()
            self._output.end_line()

    def _begin(self) -> None:
        if self._output and self._title is not None:
            self._output.write(f"{self._output.separator}## {one_line(self._title)}\n\n")
