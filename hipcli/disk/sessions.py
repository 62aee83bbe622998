"""Sessions on disk: the keys and values of documents, so that a model reads them once and answers in many runs.

A session is a folder: `session.json`, the header; `tokens.bin`, the token ids (little-endian, four bytes each); and
segments, safetensors files with the keys and values of tokens [a, b) in all layers. Files appear whole, and the header
last: it names the segments that count, so a process that is killed leaves what was there before. What the header does
not name is removed by the next run.
"""

import hashlib
import json
import re
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipcli.cli.options import KvStorage
from hipcli.disk import files, paths
from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    from torch import Tensor

    State = Sequence[Mapping[str, Tensor]]  # what is stored of some tokens, by name, a mapping a layer

HEADER = "session.json"
TOKENS = "tokens.bin"

# Raise it when keys and values would come out differently for the same tokens and settings.
_VERSION = 4
_NAME = re.compile(r"\w[\w-]*(\.[\w-]+)*")
_LONGEST_NAME = 60
_SEGMENT_BYTES = 2**28  # bounds what saving takes in memory
_SPARE_BYTES = 2**29  # left free on the disk for everybody else


@dataclass(frozen=True)
class Basis:
    """What keys and values depend on besides the tokens, and what they are stored as (`kv_cache`).

    `attention` holds HipConfig's fields; `yarn_factor` is how many times positions are stretched.
    """

    model: str
    revision: str
    dtype: str
    attention: dict[str, Any]
    yarn_factor: float = 1  # sessions that do not say were made before positions could be stretched
    kv_cache: KvStorage = "full"

    @property
    def positions(self) -> str:
        """In words, where keys stand."""
        if self.yarn_factor != 1:
            return f"positions stretched {self.yarn_factor:g} times"
        start = self.attention.get("packed_from")
        return "positions as they are" if start is None else f"positions packed from {start:,}"

    def difference(self, made: "Basis") -> str | None:
        """In words, how a session made on the basis `made` does not suit this one; None when it does."""
        if self.revision != made.revision:
            other = "another revision of " if self.model == made.model else ""
            return f"was made with {other}{made.model}"
        if self.dtype != made.dtype:
            return f"was made with numbers in {made.dtype}, not {self.dtype}"
        if self.kv_cache != made.kv_cache:
            return f"was made with --kv-cache {made.kv_cache}, not {self.kv_cache}"
        if self.positions != made.positions:
            return f"was made with {made.positions}, not {self.positions.removeprefix('positions ')}"
        for name in {**made.attention, **self.attention}:
            before, now = made.attention.get(name), self.attention.get(name)
            # Questions and answers are not kept.
            if before != now and name not in ("refresh_interval", "question"):
                return f"was made with {name}={before}, not {now}"
        return None


@dataclass(frozen=True)
class Segment:
    """Tokens [start, stop) in a file of `bytes` bytes."""

    file: str
    start: int
    stop: int
    bytes: int


@dataclass(frozen=True)
class Header:
    """What session.json says. `tokens` is the length of the documents, `whole` as much of it as is ever kept.

    Times are in seconds since 1970.
    """

    basis: Basis
    documents: tuple[str, ...]
    tokens: int
    whole: int
    sha256: str
    created: float
    used: float
    segments: tuple[Segment, ...] = ()

    @property
    def saved(self) -> int:
        """Tokens that are kept."""
        return self.segments[-1].stop if self.segments else 0

    @property
    def complete(self) -> bool:
        return self.saved == self.whole

    def dumps(self) -> bytes:
        content = {"version": _VERSION, **asdict(self), "saved": self.saved, "complete": self.complete}
        return (json.dumps(content, indent=2) + "\n").encode()

    @classmethod
    def loads(cls, data: bytes) -> "Header":
        """Raises HipError for a header of another version, ValueError for one that is damaged."""
        try:
            content = json.loads(data)
            if content.pop("version") != _VERSION:
                raise HipError("was written by another version of hip")
            saved, complete = content.pop("saved"), content.pop("complete")
            segments = tuple(Segment(**segment) for segment in content.pop("segments"))
            documents = tuple(content.pop("documents"))
            header = cls(Basis(**content.pop("basis")), documents, **content, segments=segments)
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(str(error)) from error
        starts = [0, *(segment.stop for segment in segments)][:-1] if segments else []
        names = all(Path(segment.file).name == segment.file for segment in segments)
        if (saved, complete) != (header.saved, header.complete) or not names:
            raise ValueError("it contradicts itself")
        if starts != [segment.start for segment in segments]:
            raise ValueError("its segments do not follow each other")
        return header


class Session:
    """A session of this run's documents, locked against other runs until it is released."""

    def __init__(self, name: str, folder: Path, header: Header, lock: files.Lock) -> None:
        self._name = name
        self._folder = folder
        self._header = header
        self._lock = lock

    @property
    def saved(self) -> int:
        """Tokens that are kept."""
        return self._header.saved

    @property
    def whole(self) -> int:
        """Tokens to keep in the end."""
        return self._header.whole

    def load(self) -> Iterator["State"]:
        """What is kept, segment by segment in order of the tokens. Raises HipError when a file cannot be read."""
        from safetensors import SafetensorError, safe_open

        for segment in self._header.segments:
            try:
                with safe_open(self._folder / segment.file, "pt") as file:
                    state = _by_layer({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            except (OSError, SafetensorError) as error:
                raise _refusal(self._name, f"is damaged: {segment.file}: {error}") from error
            yield state

    def save(self, stop: int, state: Callable[[int, int], "State"]) -> None:
        """Keep the tokens up to `stop`; `state` gives what there is to keep of tokens [a, b).

        Raises HipError when the disk has no room for all that is still to come, or cannot be written.
        """
        with files.cache_errors():
            start = self.saved
            if start >= stop:
                return
            token_bytes = -(-size_of(state(start, stop)) // (stop - start))
            files.require_space(self._folder, (self.whole - start) * token_bytes + _SPARE_BYTES)
            step = max(1, _SEGMENT_BYTES // token_bytes)
            for begin in range(start, stop, step):
                end = min(stop, begin + step)
                segment = self._write_segment(begin, end, state(begin, end))
                self._write_header(segments=(*self._header.segments, segment))

    def release(self) -> None:
        """Let other runs have the session. May be called twice."""
        self._lock.release()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def mark_used(self) -> None:
        """Note the time: `hip cache prune` takes those first that were not used for long."""
        with files.cache_errors():
            self._write_header(used=time.time())

    def _write_segment(self, start: int, stop: int, state: "State") -> Segment:
        from safetensors.torch import save_file

        tensors = {
            f"{name}.{layer}": tensor.cpu().contiguous()
            for layer, stored in enumerate(state)
            for name, tensor in stored.items()
        }
        path = self._folder / f"{start}-{stop}.safetensors"
        temporary = path.with_name(files.PARTIAL + path.name)
        save_file(tensors, temporary)
        files.publish(temporary, path)
        return Segment(path.name, start, stop, path.stat().st_size)

    def _write_header(self, **changes: Any) -> None:
        header = replace(self._header, **changes)
        files.write_whole(self._folder / HEADER, header.dumps())
        self._header = header


def sessions_dir() -> Path:
    """Where sessions lie. Not created here."""
    return paths.cache_dir() / "sessions"


def folder_of(name: str) -> Path:
    """The folder of a session. Raises HipError, exit code 2, for a name that none can have."""
    if not is_name(name):
        hint = f"take up to {_LONGEST_NAME} letters, digits, - and _, with dots only between them"
        raise HipError(f"--session {name}: not a name for a session", hint, ExitCode.USAGE)
    return sessions_dir() / name


def is_name(name: str) -> bool:
    """Whether a session can have this name."""
    return bool(_NAME.fullmatch(name)) and len(name) <= _LONGEST_NAME


def open_session(name: str, ids: Sequence[int], documents: Sequence[str], basis: Basis) -> Session:
    """The session called `name`, new or as an earlier run of the same documents left it, and locked.

    Raises HipError when another run uses it, when it was made from other documents, with another model or other
    settings (saying which), and when it cannot be read or written.
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
            header = _prepare(name, folder, _bytes_of(ids), documents, basis)
        session = Session(name, folder, header, lock)
        session.mark_used()
    except BaseException:
        lock.release()
        raise
    return session


def read_header(folder: Path) -> Header | None:
    """The header of a session, None where there is none yet.

    Raises HipError for one of another version, ValueError for one that is damaged, OSError.
    """
    try:
        return Header.loads((folder / HEADER).read_bytes())
    except FileNotFoundError:
        return None


def orphans(folder: Path) -> list[Path]:
    """Files of a session that a killed run left and its header does not name. Raises what `read_header` raises."""
    header = read_header(folder)
    named = {HEADER, TOKENS, *(segment.file for segment in header.segments)} if header else set()
    return [path for path in folder.iterdir() if path.name not in named]


def size_of(state: "State") -> int:
    """Bytes that `state` takes."""
    return sum(tensor.nbytes for stored in state for tensor in stored.values())


def kv_cache_of(name: str) -> KvStorage | None:
    """What the session called `name` stores keys and values as; None where there is none that can be read."""
    try:
        header = read_header(folder_of(name))
    except (HipError, ValueError, OSError):
        return None
    return header.basis.kv_cache if header else None


def _by_layer(tensors: dict[str, "Tensor"]) -> list[dict[str, "Tensor"]]:
    """The state in which "NAME.LAYER" is called NAME."""
    layers: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        name, _, layer = full_name.rpartition(".")
        layers.setdefault(int(layer), {})[name] = tensor
    return [layers[layer] for layer in sorted(layers)]


def _prepare(name: str, folder: Path, tokens: bytes, documents: Sequence[str], basis: Basis) -> Header:
    """The header to go on with; left-overs are removed, and the ids written when the session is new."""
    sha256 = hashlib.sha256(tokens).hexdigest()
    try:
        header = read_header(folder)
        if header is not None:
            _check(header, folder, sha256, basis)
    except HipError as error:
        raise _refusal(name, error.message) from error
    except ValueError as error:
        raise _refusal(name, f"is damaged: {HEADER}: {error}") from error
    for path in orphans(folder):
        path.unlink()
    if header is None:
        files.write_whole(folder / TOKENS, tokens)
        count = len(tokens) // 4
        whole = count // basis.attention["block_q"] * basis.attention["block_q"]
        now = time.time()
        header = Header(basis, tuple(documents), count, whole, sha256, now, now)
    return header


def _check(header: Header, folder: Path, sha256: str, basis: Basis) -> None:
    """Raise HipError saying what does not suit, or what is missing."""
    if difference := basis.difference(header.basis):
        raise HipError(difference)
    if header.sha256 != sha256:
        raise HipError("holds other documents, or other instructions about them")
    for segment in header.segments:
        path = folder / segment.file
        if not path.is_file() or path.stat().st_size != segment.bytes:
            raise HipError(f"is damaged: {segment.file} is not what was written")


def _refusal(name: str, what: str) -> HipError:
    hint = f"use another name, or remove it with `hip cache rm {name}`"
    return HipError(f"session {name}: {what}", hint, ExitCode.USAGE)


def _bytes_of(ids: Sequence[int]) -> bytes:
    values = array("I", ids)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
