"""Sessions: the keys and values of documents, stored on disk so that later runs need not compute them again.

A session is a folder with a header, session.json; the token ids, tokens.bin (little-endian, four bytes each); and
segments, safetensors files with the keys and values of tokens [a, b) in all layers. Every file is written under a
temporary name and then renamed, the header last. The header lists the segments that belong to the session, so a
process that is killed leaves the session as it was before. The next run deletes the files that are not listed.
"""

import hashlib
import re
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipcli.disk import conversations, files, paths, segments
from hipcli.disk.session_header import HEADER_FILE, Basis, Header, KeptDocument, read_header, write_header
from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    from hipcli.disk.segments import Snapshot

TOKENS_FILE = "tokens.bin"

_NAME = re.compile(r"\w[\w-]*(\.[\w-]+)*")
_LONGEST_NAME = 60
_SEGMENT_BYTES = 2**28  # limits the memory that saving takes
_SPARE_BYTES = 2**29  # left free on the disk for other programs


class Session:
    """An open session of this run's documents. It is locked: no other run can open it until `release`."""

    def __init__(self, name: str, folder: Path, header: Header, lock: files.Lock) -> None:
        self._name = name
        self._folder = folder
        self._header = header
        self._lock = lock

    @property
    def saved(self) -> int:
        """The number of tokens whose keys and values are stored."""
        return self._header.saved

    @property
    def whole(self) -> int:
        """The number of tokens to store in the end."""
        return self._header.whole

    def conversation(self) -> conversations.KeptConversation:
        """What was said about the documents. Raises HipError where it cannot be read."""
        try:
            return conversations.KeptConversation(self._folder, self.whole)
        except ValueError as error:
            raise _refusal(self._name, f"is damaged: {error}") from error

    def load(self) -> Iterator["Snapshot"]:
        """The stored keys and values, one segment after the other. Raises HipError when a file cannot be read."""
        for segment in self._header.segments:
            try:
                snapshot = segments.read_segment(self._folder / segment.file)
            except ValueError as error:
                raise _refusal(self._name, f"is damaged: {error}") from error
            yield snapshot

    def save(self, stop: int, snapshot: Callable[[int, int], "Snapshot"]) -> None:
        """Store the tokens before `stop` that are not stored yet; `snapshot(a, b)` returns those of tokens [a, b).

        Raises HipError when the disk has no space for all tokens up to `whole`, or cannot be written.
        """
        with files.cache_errors():
            start = self.saved
            if start >= stop:
                return
            token_bytes = -(-size_of(snapshot(start, stop)) // (stop - start))
            files.require_space(self._folder, (self.whole - start) * token_bytes + _SPARE_BYTES)
            step = max(1, _SEGMENT_BYTES // token_bytes)
            for begin in range(start, stop, step):
                end = min(stop, begin + step)
                path = self._folder / f"{begin}-{end}.safetensors"
                segment = segments.write_segment(path, begin, end, snapshot(begin, end))
                self._write_header(segments=(*self._header.segments, segment))

    def release(self) -> None:
        """Unlock the session for other runs. May be called twice."""
        self._lock.release()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def mark_used(self) -> None:
        """Record the time of use: `hip cache prune` removes first what was not used for longest."""
        with files.cache_errors():
            self._write_header(used=time.time())

    def _write_header(self, **changes: Any) -> None:
        header = replace(self._header, **changes)
        write_header(self._folder, header)
        self._header = header


def sessions_dir() -> Path:
    """The folder of all sessions. It need not exist."""
    return paths.cache_dir() / "sessions"


def folder_of(name: str) -> Path:
    """The folder of the session called `name`. Raises HipError, exit code 2, for a name that is not allowed."""
    if not is_name(name):
        hint = f"take up to {_LONGEST_NAME} letters, digits, - and _, with dots only between them"
        raise HipError(f"--session {name}: not a name for a session", hint, ExitCode.USAGE)
    return sessions_dir() / name


def is_name(name: str) -> bool:
    """Whether a session may have this name."""
    return bool(_NAME.fullmatch(name)) and len(name) <= _LONGEST_NAME


def open_session(
    name: str, ids: Sequence[int], documents: Sequence[KeptDocument], basis: Basis, day: str = ""
) -> Session:
    """Open the session called `name` and lock it; create it if there is none.

    `ids` are the token ids of the prompt before the question (instructions and documents), `day` is the date that these
    may have. Raises HipError when another run has the session open, when it was made from other documents, with another
    model or other settings (the message says which), and when it cannot be read or written.
    """
    folder = folder_of(name)
    with files.cache_errors():
        for place in (paths.cache_dir(), sessions_dir(), folder):
            paths.private_dir(place)
        lock = files.Lock.take(folder)
    if lock is None:
        raise HipError(f"session {name}: another run is using it", "wait for that run, or use another name")
    try:
        with files.cache_errors():
            header = _prepare(name, folder, _bytes_of(ids), documents, basis, day)
        session = Session(name, folder, header, lock)
        session.mark_used()
    except BaseException:
        lock.release()
        raise
    return session


def orphans(folder: Path) -> list[Path]:
    """Files in the folder of a session that its header does not list. Raises what `read_header` raises."""
    header = read_header(folder)
    named = {HEADER_FILE, TOKENS_FILE, *(segment.file for segment in header.segments)} if header else set()
    if header:
        named |= conversations.names(folder)
    return [path for path in folder.iterdir() if path.name not in named]


def size_of(snapshot: "Snapshot") -> int:
    """The size of all tensors, in bytes."""
    return sum(tensor.nbytes for stored in snapshot for tensor in stored.values())


def header_of(name: str) -> Header | None:
    """The header of the session called `name`; None if there is none, or it cannot be read, which opening it tells."""
    try:
        return read_header(folder_of(name))
    except (HipError, ValueError, OSError):
        return None


def _prepare(
    name: str, folder: Path, tokens: bytes, documents: Sequence[KeptDocument], basis: Basis, day: str
) -> Header:
    """The header of an existing session, checked, or of a new one. Deletes files that the header does not list."""
    sha256 = hashlib.sha256(tokens).hexdigest()
    try:
        header = read_header(folder)
        if header is not None:
            _check(header, folder, sha256, basis, documents)
    except HipError as error:
        raise _refusal(name, error.message) from error
    except ValueError as error:
        raise _refusal(name, f"is damaged: {HEADER_FILE}: {error}") from error
    for path in orphans(folder):
        path.unlink()
    if header is None:
        files.write_whole(folder / TOKENS_FILE, tokens)
        count = len(tokens) // 4
        whole = count // basis.attention["block_q"] * basis.attention["block_q"]
        now = time.time()
        return Header(basis, tuple(documents), count, whole, sha256, now, now, day=day)
    return replace(header, documents=tuple(documents))


def _check(header: Header, folder: Path, sha256: str, basis: Basis, documents: Sequence[KeptDocument]) -> None:
    """Raise HipError if this run cannot use the session: made from something else, or a segment is damaged."""
    if difference := basis.difference(header.basis):
        raise HipError(difference)
    if header.sha256 != sha256:
        raise HipError(_otherwise(header.documents, documents))
    for segment in header.segments:
        if not segments.is_whole(folder, segment):
            raise HipError(f"is damaged: {segment.file} is not what was written")


def _otherwise(kept: Sequence[KeptDocument], documents: Sequence[KeptDocument]) -> str:
    """Why the prompt is not the one of the session."""
    if not all(document.sha256 for document in kept):
        return "holds other documents, or other instructions about them"
    now = Counter(document.sha256 for document in documents)
    now.subtract(document.sha256 for document in kept)
    if not any(now.values()):
        return "has these documents, but read in another way (such as --pages), or with other instructions about them"
    gone = [document.name for document in kept if now[document.sha256] < 0]
    what = f"{', '.join(gone)} has changed or is not among these" if gone else "there are more now"
    return f"holds other documents: {what}"


def _refusal(name: str, what: str) -> HipError:
    hint = f"use another name, or remove it with `hip cache rm {name}`"
    return HipError(f"session {name}: {what}", hint, ExitCode.USAGE)


def _bytes_of(ids: Sequence[int]) -> bytes:
    values = array("I", ids)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
