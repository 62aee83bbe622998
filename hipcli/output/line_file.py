"""A file of JSON lines that keeps what is done when a run is interrupted, and takes it up again."""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from hipcli.errors import ExitCode, HipError
from hipcli.output.answers import Output, is_replaced
from hipcli.output.messages import say
from hipcli.output.result import SCHEMA_VERSION

PARTIAL = ".partial"


class LineFile(Output):
    """An Output for --jsonl. A file gets its lines under the name FILE.partial, each as soon as it is written, and
    its own name at the end of the `with` block. If the block raises, FILE stays as it was, and FILE.partial stays.

    `kept` are the lines that were there already, with `resume`: those of FILE and of FILE.partial that hold an answer.
    Raises HipError as `Output` does; with exit code 2 where FILE.partial is there and `resume` is not asked for, where
    another run writes to it, and for lines that this version of hip has not written.
    """

    def __init__(self, path: Path | None, resume: bool) -> None:
        self._resume = resume
        self._partial: Path | None = None
        self.kept: list[dict[str, Any]] = []
        super().__init__(path)

    def _opened(self, path: Path) -> TextIO:
        if not is_replaced(path):
            if self._resume:
                raise _refused(path, "--resume needs a file")
            return super()._opened(path)
        target = Path(os.path.realpath(path))
        partial = target.with_name(target.name + PARTIAL)
        texts = target.read_bytes().split(b"\n") if self._resume and target.exists() else []
        lines = _answered(texts, target)
        with open(os.open(partial, os.O_RDWR | os.O_CREAT, 0o666), "rb") as unfinished:
            _lock(unfinished, partial)
            # What a killed run was about to write is no line.
            texts = unfinished.read().split(b"\n")[:-1]
            if texts and not self._resume:
                raise _refused(partial, "has the answers of an interrupted run", "go on with --resume, or remove it")
            lines |= _answered(texts, partial)
            stream = super()._opened(target)
            assert self._temporary is not None
            stream.write("".join(text.decode() + "\n" for text in lines))
            stream.flush()
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX)
            os.replace(self._temporary, partial)  # so that it has all lines at every moment
        self._temporary, self._partial = None, partial
        self.kept = list(lines.values())
        self._written = bool(lines)
        return stream

    def _close(self, error: BaseException | None) -> None:
        if self._partial is None:
            super()._close(error)
            return
        try:
            self._stream.close()
            if not self._written:
                self._partial.unlink()
            elif error is None:
                os.replace(self._partial, os.path.realpath(self._path or ""))
            else:
                say(f"hip: {self._partial}: has the answers so far; the same command with --resume goes on")
        except OSError as fault:
            if error is None:
                raise HipError(f"{self._path}: {fault.strerror}") from fault


def _answered(texts: Sequence[bytes], path: Path) -> dict[bytes, dict[str, Any]]:
    """Those of the lines that hold an answer without a fault, each once, and what they say."""
    found = {}
    for number, text in enumerate(texts, 1):
        if not text:
            continue
        line = _line(text)
        if line is None:
            raise _refused(path, f"line {number:,} is not from this version of hip", "name another file with --output")
        answer = line.get("answer")
        if answer is not None and answer["fault"] is None:
            found[text] = line
    return found


def _line(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or line.get("schema_version") != SCHEMA_VERSION:
        return None
    answer = line.get("answer")
    whole = line.keys() >= {"key", "documents"} and (answer is None or "fault" in answer)
    return line if whole else None


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep other runs away from a file until it is closed."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A run that ends gives it another name.
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise _refused(path, "another run is writing to it")


def _refused(path: Path, what: str, hint: str | None = None) -> HipError:
    return HipError(f"{path}: {what}", hint, ExitCode.USAGE)
