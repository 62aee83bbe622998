"""What the user sees: answers on standard output or in a file, and everything else on standard error."""

import contextlib
import json
import os
import stat
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from hipcli.errors import ExitCode, HipError
from hipcli.planning.budget import GIB, MEMORY_PARTS, Budget

_PIPE = 16_384  # characters: at most 64 KiB, what a pipe holds

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Whether `say` and `warn` keep silent from now on. Errors are always reported."""
    global _quiet
    _quiet = quiet


def report(error: HipError) -> None:
    """Print `hip: error: WHERE: WHAT` and the hint, if there is one, on standard error."""
    _talk(f"hip: error: {error.message}")
    if error.hint:
        _talk(f"hint: {error.hint}")


def report_internal(error: BaseException) -> None:
    """Print a failure whose cause is not known: a bug."""
    _talk(f"hip: internal error: {type(error).__name__}: {error}")
    _talk("hint: this is a bug in hip; set HIPCLI_DEBUG=1 to see where it happened")


def warn(text: str) -> None:
    """Print `hip: warning: TEXT` on standard error, unless the user asked for quiet."""
    if not _quiet:
        _talk(f"hip: warning: {text}")


def say(text: str) -> None:
    """Print a notice on standard error, unless the user asked for quiet."""
    if not _quiet:
        _talk(text)


def one_line(text: str) -> str:
    """`text` with line breaks and control characters turned into spaces: file names may hold any of them."""
    return printable(text.replace("\n", " ").replace("\t", " "))


def printable(text: str) -> str:
    """`text` without what could command a terminal: control characters other than line feed and tab."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def _talk(text: str) -> None:
    # A message that cannot be delivered must not stop the work it is about.
    with contextlib.suppress(OSError):
        print(one_line(text), file=sys.stderr, flush=True)


class Output:
    """Where answers go: standard output, or a file that appears under its name only when it is whole.

    A context manager; leaving it by an exception removes an unfinished file. Text on its way to a terminal loses
    its control characters. Raises HipError when the file cannot be made (exit code 2) or written (1);
    BrokenPipeError passes through.
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
        """Write `text` and deliver it at once."""
        if self.terminal:
            text = printable(text)
        try:
            # An unbuffered stream drops the rest of a write that a pipe takes in part, and reports nothing.
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
        """Begin a new line unless one has just begun."""
        if self._column:
            self.write("\n")

    @property
    def separator(self) -> str:
        """What sets the next answer off from the one before, if there is one."""
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
            self._close(complete=error is None)
        elif error is not None and not isinstance(error, BrokenPipeError):
            with contextlib.suppress(HipError, OSError):
                self.end_line()

    def _open(self, path: Path) -> None:
        try:
            # A link stays a link, and a device or a named pipe is written to rather than replaced.
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
    """Write `value` as one JSON object with a line feed after it."""
    text = json.dumps(value, ensure_ascii=not output.utf8, indent=2)
    # File names that are not valid UTF-8 hold lone surrogates; JSON has an escape for those.
    output.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")


class AnswerWriter:
    """One answer as it comes: kept in `text` and, given an output, written there under its title."""

    def __init__(self, output: Output | None, title: str | None) -> None:
        self._output = output
        self._title = title
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces).rstrip()

    def write(self, text: str) -> None:
        """Add a piece. White space before the first word is dropped."""
        if not self._pieces:
            text = text.lstrip()
            if not text:
                return
            self._begin()
        self._pieces.append(text)
        if self._output:
            self._output.write(text)

    def end(self) -> None:
        if self._output:
            if not self._pieces:
                self._begin()
            self._output.end_line()

    def _begin(self) -> None:
        if self._output and self._title is not None:
            self._output.write(f"{self._output.separator}## {one_line(self._title)}\n\n")


def write_budgets(output: Output, command: str, model: str, budgets: Sequence[Budget], as_json: bool) -> None:
    """Write what `--dry-run` found out: a table for each reading, or one JSON object."""
    if as_json:
        readings = [budget.as_json() for budget in budgets]
        write_json(output, {"schema_version": 1, "command": command, "model": model, "readings": readings})
    else:
        output.write("\n".join(_table(model, budget) for budget in budgets))


def _table(model: str, budget: Budget) -> str:
    rows = [
        (
            one_line(document.path),
            "" if document.pages is None else f"{document.pages:,} pages",
            f"{document.characters:,} characters",
            f"{document.tokens:,} tokens",
        )
        for document in budget.documents
    ]
    rows.append(("instructions", "", "", f"{budget.instruction_tokens:,} tokens"))
    rows.append(("reserved for the answer", "", "", f"{budget.answer_tokens:,} tokens"))
    rows.append(("total", "", "", f"{budget.total_tokens:,} tokens"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["   ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3))]) for row in rows]
    if budget.window is None:
        lines.append(f"window of {model}: not known")
    else:
        lines.append(f"window of {model}: {budget.window:,} tokens, {budget.total_tokens / budget.window:.0%} taken")
    if budget.positions != "exact":
        lines.append(f"positions: {budget.placed}" + " beyond the window" * budget.packed)
    memory = budget.memory
    names = {"keys_and_values": "keys and values" + (" as int8" if budget.kv_cache == "int8" else "")}
    parts = " + ".join(f"{names.get(part, part)} {getattr(memory, part) / GIB:.2f}" for part in MEMORY_PARTS)
    free = "" if memory.available is None else f" of {memory.available / GIB:.2f} GiB free"
    lines.append(f"memory: {parts} = {memory.needed / GIB:.2f} GiB{free}")
    if budget.excess_tokens:
        lines.append(f"does not fit: {budget.excess_tokens:,} tokens too many")
    elif memory.excess:
        lines.append(f"does not fit: {memory.excess / GIB:.2f} GiB too much")
    else:
        lines.append("fits")
    return "\n".join(lines) + "\n"
