"""Sessions on disk: whole or not there, refused where they do not suit, and never broken by a process that dies."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hip_attention import HipConfig

from hipcli.disk import files, sessions
from hipcli.disk.sessions import Basis, Session, folder_of, open_session
from hipcli.errors import HipError

IDS = list(range(1000, 1300))
BASIS = Basis("tiny", "r1", "float32", asdict(HipConfig()))


def state(start: int, stop: int) -> list[dict[str, torch.Tensor]]:
    """Two layers whose numbers tell layer, head, token and dimension, in views that are not contiguous."""
    numbers = torch.arange(2 * 3 * 400 * 4, dtype=torch.float32).view(2, 1, 3, 400, 4)[:, :, :, start:stop]
    return [{"key": layer, "value": -layer} for layer in numbers]


def session(ids: list[int] = IDS, basis: Basis = BASIS, name: str = "book") -> Session:
    return open_session(name, ids, ["book.txt"], basis)


def saved_session(stop: int = 256) -> None:
    with session() as kept:
        kept.save(stop, state)


def restored(kept: Session) -> list[dict[str, torch.Tensor]]:
    segments = list(kept.load())
    return [
        {name: torch.cat([part[name] for part in parts], 2) for name in parts[0]}
        for parts in zip(*segments, strict=True)
    ]


def equal(found: list[dict[str, torch.Tensor]], expected: list[dict[str, torch.Tensor]]) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a) for a, b in pairs)


def test_what_is_saved_in_parts_comes_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_SEGMENT_BYTES", 100 * sessions.size_of(state(0, 1)))
    with session() as kept:
        assert (kept.saved, kept.whole) == (0, 256)
        kept.save(64, state)
        kept.save(256, state)
        kept.save(256, state)
    folder = folder_of("book")
    assert sorted(path.name for path in folder.glob("*.safetensors")) == [
        "0-64.safetensors",
        "164-256.safetensors",
        "64-164.safetensors",
    ]
    with session() as kept:
        assert kept.saved == 256
        assert equal(restored(kept), state(0, 256))


def test_names_that_have_dots_and_layers_that_differ_come_back() -> None:
    def mixed(start: int, stop: int) -> list[dict[str, torch.Tensor]]:
        codes = torch.arange(300, dtype=torch.int8)[None, None, :, None].expand(1, 2, 300, 4)[:, :, start:stop]
        shared = {} if start else {"key.centre": torch.ones(1, 2, 1, 4)}
        return [{"key": codes.float()}, {"key.codes": codes, **shared}] + [{"key": codes}] * 9

    with session() as kept:
        kept.save(100, mixed)
        kept.save(256, mixed)
        for segment, bounds in zip(kept.load(), ((0, 100), (100, 256)), strict=True):
            assert equal(segment, mixed(*bounds))


def test_a_session_from_before_there_was_a_choice_holds_full_numbers() -> None:
    saved_session()
    assert sessions.kv_cache_of("book") == "full"
    edit_header(lambda header: header["basis"].pop("kv_cache"))
    with session() as kept:
        assert kept.saved == 256
    assert sessions.kv_cache_of("other") is None


def test_nobody_else_can_read_it() -> None:
    saved_session()
    folder = folder_of("book")
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700] * 2
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_header_tells_what_is_there() -> None:
    saved_session(128)
    header = json.loads((folder_of("book") / "session.json").read_text())
    assert (header["version"], header["tokens"], header["saved"], header["complete"]) == (4, 300, 128, False)
    assert header["basis"]["attention"]["top_k"] == 1024
    assert (folder_of("book") / "tokens.bin").read_bytes()[4:8] == (1001).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "huge", "revision": "r2"}, "was made with tiny"),
        ({"revision": "r2"}, "was made with another revision of tiny"),
        ({"dtype": "bfloat16"}, "was made with numbers in float32, not bfloat16"),
        ({"kv_cache": "int8"}, "was made with --kv-cache full, not int8"),
        ({"attention": asdict(HipConfig(top_k=512))}, "was made with top_k=1024, not 512"),
        (
            {"attention": asdict(HipConfig(packed_from=8192))},
            "was made with positions as they are, not packed from 8,192",
        ),
        ({"yarn_factor": 2}, "was made with positions as they are, not stretched 2 times"),
    ],
)
def test_another_basis_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    saved_session()
    with pytest.raises(HipError, match=f"session book: {said}") as caught:
        session(basis=replace(BASIS, **changes))
    assert "hip cache rm book" in (caught.value.hint or "")
    assert caught.value.exit_code == 2
    session().release()


def test_another_stretch_is_refused_by_name() -> None:
    twice, four_times = (replace(BASIS, yarn_factor=factor) for factor in (2, 4))
    session(basis=twice).release()
    with pytest.raises(
        HipError, match="session book: was made with positions stretched 2 times, not stretched 4 times"
    ):
        session(basis=four_times)
    session(basis=twice).release()


def test_sessions_made_before_positions_could_be_stretched_hold() -> None:
    saved_session()
    edit_header(lambda header: header["basis"].pop("yarn_factor"))
    with session() as kept:
        assert kept.saved == 256


def test_other_documents_are_refused() -> None:
    saved_session()
    with pytest.raises(HipError, match="session book: holds other documents"):
        session(IDS[:-1])
    session(name="other", ids=IDS[:-1]).release()


def test_how_answers_are_decoded_does_not_matter() -> None:
    saved_session()
    with session(basis=replace(BASIS, attention=asdict(HipConfig(refresh_interval=2)), model="same/by-path")) as kept:
        assert kept.saved == 256


def edit_header(edit: Callable[[dict[str, object]], object]) -> None:
    path = folder_of("book") / "session.json"
    header = json.loads(path.read_text())
    edit(header)
    path.write_text(json.dumps(header))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda header: header.update(version=1), "was written by another version of hip"),
        (lambda header: header.pop("tokens"), "is damaged: session.json"),
        (lambda header: header["segments"][0].update(start=64), "is damaged: session.json"),
        (lambda header: header["segments"][0].update(file="../0-256.safetensors"), "is damaged: session.json"),
        (lambda header: header["segments"][0].update(bytes=7), "is damaged: 0-256.safetensors"),
    ],
)
def test_a_header_that_is_wrong_is_refused(edit: Callable[[dict[str, object]], object], said: str) -> None:
    saved_session()
    edit_header(edit)
    with pytest.raises(HipError, match=f"session book: {said}"):
        session()


def test_a_segment_that_is_gone_or_damaged_is_refused() -> None:
    saved_session()
    segment = folder_of("book") / "0-256.safetensors"
    size = segment.stat().st_size
    segment.write_bytes(b"\xff" * size)
    with session() as kept, pytest.raises(HipError, match=r"is damaged: 0-256\.safetensors"):
        list(kept.load())
    segment.unlink()
    with pytest.raises(HipError, match=r"is damaged: 0-256\.safetensors"):
        session()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".hidden", "a.", "a..b", "-a", "a b", "a\n", "x" * 61])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(HipError, match="not a name for a session") as caught:
        session(name=name)
    assert caught.value.exit_code == 2


def test_names_that_are() -> None:
    for name in ("a", "Book_2", "v1.2-final", "漢字", "x" * 60):
        session(name=name).release()


def test_one_run_at_a_time() -> None:
    kept = session()
    with pytest.raises(HipError, match="session book: another run is using it"):
        session()
    session(name="other").release()
    kept.release()
    session().release()


def test_a_full_disk_is_noticed_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with session() as kept:
        kept.save(64, state)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 2**29))
        with pytest.raises(HipError, match=r"MB needed, 537 MB free on the disk"):
            kept.save(256, state)
        assert kept.saved == 64
    with session() as kept:
        assert restored(kept)[0]["key"].shape[2] == 64


def test_what_a_killed_run_left_is_removed() -> None:
    saved_session(128)
    folder = folder_of("book")
    names = {path.name for path in folder.iterdir()}
    (folder / "128-256.safetensors").write_bytes(b"never named")
    (folder / (files.PARTIAL + "session.json")).write_bytes(b"half")
    with session() as kept:
        assert kept.saved == 128
    assert {path.name for path in folder.iterdir()} == names


_KILLED_AGAIN_AND_AGAIN = """
import os, random, signal, sys, time
import safetensors.torch  # before the clock runs
sys.path.insert(0, sys.argv[1])
from test_sessions import equal, restored, session, state
from hipcli.disk.sessions import folder_of, read_header
from hipcli.disk import files

def run(stop):
    with session() as kept:
        for stop in range(kept.saved + 8, stop + 1, 8):
            kept.save(stop, state)

begin = time.monotonic()
run(64)
longest = time.monotonic() - begin
files.remove(folder_of("book"))
random.seed(1)
before = kills = grown = 0
while kills < 40 or grown < 10:
    child = os.fork()
    if child == 0:
        run(256)
        os._exit(0)
    time.sleep(random.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    kills += os.waitpid(child, 0)[1] == signal.SIGKILL
    header = read_header(folder_of("book")) if folder_of("book").is_dir() else None
    if header is None:
        assert before == 0
        continue
    assert header.saved >= before, (header.saved, before)
    grown += header.saved > before
    with session() as kept:
        assert kept.saved == header.saved
        assert not kept.saved or equal(restored(kept), state(0, kept.saved))
    before = header.saved
    if header.complete:
        files.remove(folder_of("book"))
        before = 0
"""


def test_kill_at_any_moment_leaves_the_old_session_or_the_new_one() -> None:
    script = [sys.executable, "-c", _KILLED_AGAIN_AND_AGAIN, str(Path(__file__).parent)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
