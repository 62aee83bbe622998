"""session.json, the header of a session: what its keys and values were computed from, and which files hold them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hipcli.cli.options import KvStorage
from hipcli.disk import files
from hipcli.documents.document import Document
from hipcli.errors import HipError

HEADER_FILE = "session.json"

# Increase it when the same tokens and settings would give other keys and values.
_VERSION = 5


@dataclass(frozen=True)
class Basis:
    """What keys and values were computed with, besides the tokens. A run can use a session if `difference` is None.

    `attention` holds the fields of HipConfig. `yarn_factor` is the factor by which YaRN stretches positions, 1 without
    YaRN. `kv_cache` is how keys and values are stored: "full", in the model's own dtype, or "int8".
    """

    model: str
    revision: str
    dtype: str
    attention: dict[str, Any]
    yarn_factor: float = 1  # not in the headers of sessions that were made before YaRN was supported
    kv_cache: KvStorage = "full"

    @property
    def positions(self) -> str:
        """The positions of the keys, as words of a message."""
        if self.yarn_factor != 1:
            return f"positions stretched {self.yarn_factor:g} times"
        start = self.attention.get("packed_from")
        return "positions as they are" if start is None else f"positions packed from {start:,}"

    def difference(self, made: "Basis") -> str | None:
        """How a session computed with `made` differs from this, as words of a message; None if it can be used.

        Only the first difference is told.
        """
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
            # These two apply to questions and answers, which are not stored.
            if before != now and name not in ("refresh_interval", "question"):
                return f"was made with {name}={before}, not {now}"
        return None


@dataclass(frozen=True)
class KeptDocument:
    """A document of a session: the `name` that it has in the prompt, the `path` that it was last read from, and what it
    is. Of sessions that were made before these were kept, only the name is known.
    """

    name: str
    path: str = ""
    sha256: str = ""
    pages: int | None = None
    unit: str | None = None

    @classmethod
    def of(cls, document: Document) -> "KeptDocument":
        pages = len(document.pages) if document.unit else None
        return cls(document.known_as or document.path, document.path, document.sha256, pages, document.unit)


@dataclass(frozen=True)
class Segment:
    """A file of `bytes` bytes with the keys and values of tokens [start, stop)."""

    file: str
    start: int
    stop: int
    bytes: int


@dataclass(frozen=True)
class Header:
    """The content of session.json.

    `tokens` is the length of the prompt before the question (instructions and documents), `sha256` the checksum of its
    token ids. `whole` is how many of these tokens a complete session stores, a multiple of the query block. `created`
    and `used` are seconds since 1970. `day` is the date that the prompt may have (ISO 8601), "" where nobody knows.
    """

    basis: Basis
    documents: tuple[KeptDocument, ...]
    tokens: int
    whole: int
    sha256: str
    created: float
    used: float
    segments: tuple[Segment, ...] = ()
    day: str = ""

    @property
    def saved(self) -> int:
        """The number of tokens whose keys and values are stored."""
        return self.segments[-1].stop if self.segments else 0

    @property
    def complete(self) -> bool:
        return self.saved == self.whole

    def dumps(self) -> bytes:
        """The header as JSON."""
        content = {"version": _VERSION, **asdict(self), "saved": self.saved, "complete": self.complete}
        return (json.dumps(content, indent=2) + "\n").encode()

    @classmethod
    def loads(cls, data: bytes) -> "Header":
        """The header that `dumps` wrote. Raises HipError if another version did, ValueError if the JSON is damaged."""
        try:
            content = json.loads(data)
            if content.pop("version") != _VERSION:
                raise HipError("was written by another version of hip")
            saved, complete = content.pop("saved"), content.pop("complete")
            segments = tuple(Segment(**segment) for segment in content.pop("segments"))
            documents = tuple(
                KeptDocument(kept) if isinstance(kept, str) else KeptDocument(**kept)
                for kept in content.pop("documents")
            )
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


def read_header(folder: Path) -> Header | None:
    """The header of the session in `folder`; None if it has none yet.

    Raises HipError if another version of hip wrote it, ValueError if it is damaged, OSError if it cannot be read.
    """
    try:
        return Header.loads((folder / HEADER_FILE).read_bytes())
    except FileNotFoundError:
        return None


def write_header(folder: Path, header: Header) -> None:
    """Replace the header of a session. A process killed meanwhile leaves the old one. Raises OSError."""
    files.write_whole(folder / HEADER_FILE, header.dumps())
