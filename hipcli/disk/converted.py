"""The folder of converted models: one folder a GGUF file, named by its checksum, complete or not there at all."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hipcli.disk import paths
from hipcli.disk.files import PARTIAL, Lock, cache_errors, crc32, remove
from hipcli.errors import HipError

# Part of each folder's name: raise it when hipcli.models.gguf writes something else, and files are converted again.
_CONVERTER = 1
_ORIGIN = "origin.json"


@dataclass(frozen=True)
class Converted:
    """A converted model: its folder and the GGUF file it was made from (which may be gone)."""

    folder: Path
    origin: str
    sha256: str


def models_dir() -> Path:
    """Where converted models lie. Not created here."""
    return paths.cache_dir() / "models"


def folder_of(sha256: str) -> Path:
    """Where the conversion of the GGUF with this checksum is, or will be."""
    return models_dir() / f"{sha256[:32]}-v{_CONVERTER}"


def sha256_of(path: Path) -> str:
    """Checksum of a file, remembered by path, size and time so that a file of gigabytes is read once."""
    status = path.stat()
    identity = f"{path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}"
    note = models_dir() / "checksums" / hashlib.sha256(identity.encode()).hexdigest()
    if note.is_file() and re.fullmatch("[0-9a-f]{64}", known := note.read_text(encoding="ascii", errors="replace")):
        return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with cache_errors():
        paths.private_dir(models_dir())
        paths.private_dir(note.parent)
        handle, temporary = tempfile.mkstemp(dir=note.parent)
        with os.fdopen(handle, "w", encoding="ascii") as file_:
            file_.write(digest)
        os.replace(temporary, note)
    return digest


def converted(path: Path, sha256: str, origin: str, say: Callable[[str], None], *, repairs: bool = False) -> Path:
    """The folder of the converted GGUF at `path`, converting it when this is the first time.

    With `repairs`, also when what is there is not whole. Raises HipError when the file cannot be converted or the cache
    cannot be written.
    """
    target = folder_of(sha256)
    if usable(target, repairs=repairs):
        mark_used(target)
        return target
    from hipcli.models import gguf

    damaged = target.is_dir()
    say(f"converting {path.name}" + (" again: what is there is damaged" if damaged else ", once"))
    with work_folder() as work:
        gguf.convert(path, work)
        kept = {file.name: crc32(file) for file in sorted(work.iterdir())}
        note = {"origin": origin, "sha256": sha256, "crc32": kept}
        (work / _ORIGIN).write_text(json.dumps(note), encoding="utf-8")
        if damaged:
            remove(target)
        try:
            os.rename(work, target)
        except OSError:
            # Another process converted the same file meanwhile; its folder is as good as ours.
            if not target.is_dir():
                raise
    return target


def usable(folder: Path, *, repairs: bool) -> bool:
    """Whether a converted model is there and, where that `repairs`, whole."""
    return folder.is_dir() and not (repairs and not is_whole(folder))


def is_whole(folder: Path) -> bool:
    """Whether the files of a converted model are what was written.

    Of models from before checksums were kept, whether all is there and can be opened.
    """
    from safetensors import SafetensorError, safe_open

    try:
        note = json.loads((folder / _ORIGIN).read_text(encoding="utf-8"))
        if "crc32" in note:
            return all(crc32(folder / name) == checksum for name, checksum in note["crc32"].items())
        for name in ("config", "generation_config", "tokenizer", "tokenizer_config"):
            json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        with safe_open(folder / "model.safetensors", "numpy"):
            return True
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, SafetensorError):
        return False


@contextmanager
def explained(folder: Path, name: str) -> Iterator[None]:
    """Add to errors in using the model called `name`, if it is a converted one that is damaged, how to repair it."""
    try:
        yield
    except HipError as error:
        if folder.parent != models_dir() or is_whole(folder):
            raise
        hint = f"the converted model is damaged: `hip models pull {name}` makes it anew"
        raise HipError(error.message, hint, error.exit_code) from error


def mark_used(folder: Path) -> None:
    """Note that a converted model is wanted now: `hip cache prune` takes those first that were not for long."""
    with suppress(OSError):
        os.utime(folder)


def all_converted() -> Iterator[Converted]:
    """Every converted model of this converter, in order of its origin."""
    found = []
    for note in models_dir().glob(f"*-v{_CONVERTER}/{_ORIGIN}"):
        try:
            facts = json.loads(note.read_text(encoding="utf-8"))
            found.append(Converted(note.parent, str(facts["origin"]), str(facts["sha256"])))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # a damaged note hides its model from the list, no more
    yield from sorted(found, key=lambda model: model.origin)


@contextmanager
def work_folder() -> Iterator[Path]:
    """A private folder beside the converted models for something half made; removed at the end, come what may.

    Raises HipError when writing in it fails.
    """
    with cache_errors():
        work = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=paths.private_dir(models_dir())))
        lock = Lock.take(work)  # what is not locked was left behind, and `hip cache prune` takes it away
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
            if lock is not None:
                lock.release()
