"""Turns of a conversation, stored with the session of its documents.

In the session's folder, conversation.json holds the turns, as text and as token ids, and lists segments with the keys
and values behind those of the session: first the documents' last, incomplete query block, then one segment a turn.
Names of segments are never used twice, and the file that lists them is written last: a process that is killed leaves
the conversation as it was before.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hipcli.disk import files, segments
from hipcli.disk.session_header import Segment
from hipcli.disk.typed import build, listed
from hipcli.engine.conversation import Turn
from hipcli.errors import HipError

if TYPE_CHECKING:
    from hipcli.disk.segments import Snapshot

FILE = "conversation.json"
FILES = rf"{re.escape(FILE)}|turn-\d+-\d+-[0-9a-f]{{8}}\.safetensors"
_VERSION = 1


@dataclass(frozen=True)
class _Content:
    """What conversation.json says; `length` tokens had been read, documents included."""

    turns: tuple[Turn, ...] = ()
    length: int = 0
    segments: tuple[Segment, ...] = ()


class KeptConversation:
    """The conversation in the folder of a session that is open, and so locked; the session stores `whole` tokens.

    Raises ValueError where it is damaged or another version of hip wrote it.
    """

    def __init__(self, folder: Path, whole: int) -> None:
        self._folder = folder
        self._whole = whole
        self._content = _read(folder) or _Content()
        ends = [whole, *(segment.stop for segment in self._content.segments)]
        if [segment.start for segment in self._content.segments] != ends[:-1]:
            raise ValueError(f"{FILE}: its segments do not follow each other")
        for segment in self._content.segments:
            if not segments.is_whole(folder, segment):
                raise ValueError(f"{segment.file} is not what was written")

    @property
    def turns(self) -> Sequence[Turn]:
        """The turns, the oldest first."""
        return self._content.turns

    @property
    def length(self) -> int:
        """How many tokens had been read, documents included."""
        return self._content.length

    def load(self) -> Iterator["Snapshot"]:
        """The stored keys and values behind those of the session. Raises HipError when a file is damaged."""
        try:
            yield from segments.read_segments(self._folder, self._content.segments)
        except ValueError as error:
            raise HipError(f"the conversation is damaged: {error}", "remove it with `hip cache rm`") from error

    def save(self, turns: Sequence[Turn], length: int, snapshot: Callable[[int, int], "Snapshot"]) -> None:
        """Store `turns` and the keys and values of the tokens before `length` that are not stored yet.

        What is stored of tokens from `length` on is forgotten. Before tokens are read that differ from stored ones,
        this is to be called with the length up to which they do not. Raises HipError when the disk cannot be written.
        """
        before = self._content
        kept = tuple(segment for segment in before.segments if segment.stop <= length)
        start = kept[-1].stop if kept else self._whole
        with files.cache_errors():
            if start < length:
                path = self._folder / f"turn-{start}-{length}-{secrets.token_hex(4)}.safetensors"
                stored = snapshot(start, length)
                size = sum(tensor.nbytes for layer in stored for tensor in layer.values())
                files.require_space(self._folder, size)
                kept = (*kept, segments.write_segment(path, start, length, stored))
            content = _Content(tuple(turns), length, kept)
            data = json.dumps({"version": _VERSION, **asdict(content)}, indent=1) + "\n"
            files.write_whole(self._folder / FILE, data.encode())
            self._content = content
            for segment in set(before.segments) - set(kept):
                (self._folder / segment.file).unlink(missing_ok=True)


def names(folder: Path) -> set[str]:
    """Names of the files in a session's folder that belong to a conversation; all that may, where it is damaged."""
    try:
        content = _read(folder)
    except ValueError:
        return {path.name for path in folder.iterdir() if re.fullmatch(FILES, path.name)}
    return {FILE, *(segment.file for segment in content.segments)} if content else set()


def _read(folder: Path) -> _Content | None:
    """What the folder's conversation.json says; None where there is none. Raises ValueError where it is damaged."""
    try:
        content = json.loads((folder / FILE).read_bytes())
        if content["version"] != _VERSION:
            raise ValueError("was written by another version of hip")
        stored = tuple(build(Segment, segment) for segment in listed(content["segments"]))
        turns = tuple(
            Turn(**turn | {"asked": tuple(turn["asked"]), "said": tuple(turn["said"])}) for turn in content["turns"]
        )
        if not all(re.fullmatch(FILES, segment.file) for segment in stored):
            raise ValueError("it names files that are not its own")
        return _Content(turns, int(content["length"]), stored)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{FILE}: {error.strerror}") from error
    except (TypeError, KeyError, AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"{FILE}: {error}") from error
