"""The entries of hip's cache: sessions, converted models and files that killed runs left. Listing and removing them.

Only files and folders that hip itself made are listed, so nothing else is removed, whatever folder is the cache.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from hipcli.disk import conversations, converted, files, sessions
from hipcli.disk.session_header import HEADER_FILE, Header, read_header
from hipcli.errors import ExitCode, HipError
from hipcli.output.messages import counted

_SHOWN = 3  # documents of a session that are named

Kind = Literal["session", "model", "left over"]

_MODEL_FOLDER = re.compile(r"[0-9a-f]{32}-v\d+")
_SESSION_FILE = re.compile(
    rf"{re.escape(HEADER_FILE)}|{re.escape(sessions.TOKENS_FILE)}|\d+-\d+\.safetensors|{re.escape(files.PARTIAL)}.*"
    rf"|{conversations.FILES}"
)


@dataclass(frozen=True)
class Entry:
    """A file or folder in the cache. `used` is when it was last used, in seconds since 1970; `note` describes it."""

    name: str
    kind: Kind
    path: Path
    bytes: int
    used: float
    note: str
    header: Header | None = None  # of a session that can be read

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "path": str(self.path),
            "bytes": self.bytes,
            "used": datetime.fromtimestamp(self.used, UTC).isoformat(timespec="seconds"),
            "note": self.note,
            "session": None if self.header is None else _as_json(self.header),
        }


def entries() -> list[Entry]:
    """Everything in the cache, last used first. Unfinished files of a process that still runs are left out."""
    found = [*_sessions(), *_models(), *_partial()]
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def named(names: Sequence[str]) -> list[Entry]:
    """The entries with these names. Raises HipError, exit code 2, for a name that no entry has."""
    present = entries()
    for name in names:
        if not any(entry.name == name for entry in present):
            raise HipError(f"{name}: not in the cache", "`hip cache ls` shows what is", ExitCode.USAGE)
    return [entry for entry in present if entry.name in names]


def surplus(present: Sequence[Entry], max_bytes: int) -> list[Entry]:
    """Sessions and models to remove, least recently used first, so that the rest takes at most `max_bytes`."""
    kept = sorted((entry for entry in present if entry.kind != "left over"), key=lambda entry: entry.used)
    size = sum(entry.bytes for entry in kept)
    chosen = []
    while size > max_bytes:
        chosen.append(kept.pop(0))
        size -= chosen[-1].bytes
    return chosen


def remove(entry: Entry) -> None:
    """Remove an entry. Raises HipError when a run is using it or the cache cannot be written."""
    with files.cache_errors():
        lock = files.Lock.take(entry.path if entry.path.is_dir() else entry.path.parent)
        if lock is None:
            raise HipError(f"{entry.name}: a run is using it", "wait for that run to end")
        with lock:
            files.remove(entry.path)


def _sessions() -> Iterator[Entry]:
    for folder in _folders(sessions.sessions_dir()):
        # A folder that holds any other file was not made by hip.
        if sessions.is_name(folder.name) and all(_SESSION_FILE.fullmatch(file.name) for file in folder.iterdir()):
            yield from _session(folder)


def _session(folder: Path) -> Iterator[Entry]:
    """The entry of a session, and one for each file that a killed run left in it."""
    try:
        header = read_header(folder)
    except (HipError, ValueError) as error:
        note = error.message if isinstance(error, HipError) else "damaged"
        yield _entry(folder, "session", note)
        return
    if header is None:
        if _abandoned(folder):
            yield _entry(folder, "left over", "a session without content")
        return
    part = "" if header.complete else f", {header.saved / header.whole:.0%} read"
    note = f"{_documents(header)}; {header.tokens:,} tokens{part}, {header.basis.model}"
    orphans = sessions.orphans(folder) if _abandoned(folder) else []
    left = [_entry(path, "left over", "unfinished", f"{folder.name}/{path.name}") for path in orphans]
    size = files.size_of(folder) - sum(entry.bytes for entry in left)
    yield Entry(folder.name, "session", folder, size, header.used, note, header)
    yield from left


def _documents(header: Header) -> str:
    """What a session holds, in a few words."""
    named = [
        f"{document.path or document.name} ({counted(document.pages, document.unit)})"
        if document.pages is not None and document.unit
        else document.path or document.name
        for document in header.documents
    ]
    more = len(named) - _SHOWN
    return ", ".join(named[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _as_json(header: Header) -> dict[str, Any]:
    return {
        "documents": [asdict(document) for document in header.documents],
        "model": header.basis.model,
        "revision": header.basis.revision or None,
        "tokens": header.tokens,
        "saved": header.saved,
        "complete": header.complete,
        "created": datetime.fromtimestamp(header.created, UTC).isoformat(timespec="seconds"),
    }


def _models() -> Iterator[Entry]:
    origins = {model.folder: model.origin for model in converted.all_converted()}
    for folder in _folders(converted.models_dir()):
        if _MODEL_FOLDER.fullmatch(folder.name):
            yield _entry(folder, "model", "converted", origins.get(folder, folder.name))


def _partial() -> Iterator[Entry]:
    """Folders that a killed process was making or removing."""
    for parent in (sessions.sessions_dir(), converted.models_dir()):
        for folder in _folders(parent):
            if folder.name.startswith(files.PARTIAL) and _abandoned(folder):
                yield _entry(folder, "left over", "unfinished")


def _entry(path: Path, kind: Kind, note: str, name: str = "") -> Entry:
    size = files.size_of(path) if path.is_dir() else path.stat().st_size
    return Entry(name or path.name, kind, path, size, path.stat().st_mtime, note)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _abandoned(folder: Path) -> bool:
    """Whether no running process has locked it."""
    lock = files.Lock.take(folder)
    if lock is not None:
        lock.release()
    return lock is not None
