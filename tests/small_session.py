"""For tests of sessions: made-up keys and values, and functions that save them, load them and damage the header."""

import json
from collections.abc import Callable
from dataclasses import asdict

import torch
from hip_attention import HipConfig

from hipcli.disk.session_header import Basis, KeptDocument
from hipcli.disk.sessions import Session, folder_of, open_session

IDS = list(range(1000, 1300))
BASIS = Basis("tiny", "r1", "float32", asdict(HipConfig()))


def snapshot(start: int, stop: int) -> list[dict[str, torch.Tensor]]:
    """Keys and values of tokens [start, stop) in two layers, no number twice. The tensors are not contiguous."""
    numbers = torch.arange(2 * 3 * 400 * 4, dtype=torch.float32).view(2, 1, 3, 400, 4)[:, :, :, start:stop]
    return [{"key": layer, "value": -layer} for layer in numbers]


def session(ids: list[int] = IDS, basis: Basis = BASIS, name: str = "book") -> Session:
    """Open a session of 300 tokens; with query blocks of 128 it stores 256 of them."""
    return open_session(name, ids, [KeptDocument("book.txt")], basis)


def saved_session(stop: int = 256) -> None:
    """Create the session "book" with the first `stop` tokens stored, and close it."""
    with session() as kept:
        kept.save(stop, snapshot)


def restored(kept: Session) -> list[dict[str, torch.Tensor]]:
    """All that a session stores, its segments joined."""
    segments = list(kept.load())
    return [
        {name: torch.cat([part[name] for part in parts], 2) for name in parts[0]}
        for parts in zip(*segments, strict=True)
    ]


def equal(found: list[dict[str, torch.Tensor]], expected: list[dict[str, torch.Tensor]]) -> bool:
    """Whether all layers have the same tensors under the same names."""
    pairs = zip(found, expected, strict=True)
    return all(a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a) for a, b in pairs)


def edit_header(edit: Callable[[dict[str, object]], object]) -> None:
    """Change the JSON of the header of the session "book"."""
    path = folder_of("book") / "session.json"
    header = json.loads(path.read_text())
    edit(header)
    path.write_text(json.dumps(header))
