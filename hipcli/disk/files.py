"""What the folders of hip's cache have in common: private, written whole, locked, and clear about what goes wrong."""

import errno
import fcntl
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from hipcli.disk import paths
from hipcli.errors import HipError

# What begins with this is half made or half removed, and belongs to nobody once its process is gone.
PARTIAL = ".partial-"

_PIECE = 2**20  # bytes that are read at once, which a processor's cache can hold
_PLACE_HINT = "name a folder that you can write to in HIPCLI_CACHE_DIR"
SPACE_HINT = "free some space, or name a folder on another disk in HIPCLI_CACHE_DIR"


class Lock:
    """A folder that one process at a time may change: held until released or until the process is gone, however."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path) -> "Lock | None":
        """Lock an existing folder; None when another process has it or removes it at this moment."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # What was opened may meanwhile have been renamed, to be removed.
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return cls(descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def release(self) -> None:
        """Let others have the folder. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def write_whole(path: Path, data: bytes) -> None:
    """Write a private file that keeps its old content until the new one is safely on the disk."""
    temporary = path.with_name(PARTIAL + path.name)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    publish(temporary, path)


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its name, once its content is safely on the disk."""
    temporary.chmod(0o600)
    _sync(temporary)
    os.replace(temporary, path)
    _sync(path.parent)


def remove(path: Path) -> None:
    """Remove a folder of the cache, which is gone under its own name at once and whole, or a file or a link.

    Raises OSError.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    doomed = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name.removeprefix(PARTIAL)}")
    os.rename(path, doomed)
    shutil.rmtree(doomed)


def size_of(folder: Path) -> int:
    """Bytes in the files of a folder, links not followed."""
    size = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                size += (Path(parent) / name).lstat().st_size
            except FileNotFoundError:  # another process has just removed it
                continue
    return size


def crc32(path: Path) -> int:
    """Checksum of a file. Raises OSError.

    It is read and not mapped: on a bad disk that is an error, where mapped memory would end the process.
    """
    buffer, checksum = memoryview(bytearray(_PIECE)), 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            checksum = zlib.crc32(buffer[:count], checksum)
    return checksum


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise HipError, saying how much is missing, when the disk of `folder` has not `needed_bytes` free."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise HipError(
            f"{paths.cache_dir()}: {needed_bytes / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free on the disk",
            SPACE_HINT,
        )


@contextmanager
def cache_errors() -> Iterator[None]:
    """Turn a full disk or a cache that cannot be written into a HipError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HipError(f"{paths.cache_dir()}: no space left on the disk", SPACE_HINT) from error
        reason = error.strerror or str(error)
        raise HipError(f"{paths.cache_dir()}: cannot write the cache: {reason}", _PLACE_HINT) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
