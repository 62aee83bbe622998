"""Sessions: saved and loaded again, refused where they are damaged, and never damaged by a process that is killed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_session import IDS, edit_header, equal, restored, saved_session, session, snapshot

from hipcli.disk import files, paths, sessions
from hipcli.disk.sessions import folder_of
from hipcli.errors import HipError


def test_what_is_saved_in_parts_comes_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_SEGMENT_BYTES", 100 * sessions.size_of(snapshot(0, 1)))
    with session() as kept:
        assert (kept.saved, kept.whole) == (0, 256)
        kept.save(64, snapshot)
        kept.save(256, snapshot)
        kept.save(256, snapshot)
    folder = folder_of("book")
    assert sorted(path.name for path in folder.glob("*.safetensors")) == [
        "0-64.safetensors",
        "164-256.safetensors",
        "64-164.safetensors",
    ]
    with session() as kept:
        assert kept.saved == 256
        assert equal(restored(kept), snapshot(0, 256))


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


def test_nobody_else_can_read_it() -> None:
    saved_session()
    folder = folder_of("book")
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700] * 2
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_other_documents_are_refused() -> None:
    saved_session()
    with pytest.raises(HipError, match="session book: holds other documents"):
        session(IDS[:-1])
    session(name="other", ids=IDS[:-1]).release()


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


def flip(path: Path, at: int) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def test_one_bit_that_flipped_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_SEGMENT_BYTES", 20 * sessions.size_of(snapshot(0, 1)))
    saved_session()
    segments = sorted(folder_of("book").glob("*.safetensors"), key=lambda path: int(path.stem.partition("-")[0]))
    assert len(segments) == 13
    for number, at in ((0, -1), (5, 3000), (12, -700)):
        flip(segments[number], at)
        with session() as kept:
            loading = kept.load()
            for _ in range(number):
                next(loading)
            with pytest.raises(HipError, match=rf"session book: is damaged: {segments[number].name}"):
                next(loading)
        flip(segments[number], at)
    with session() as kept:
        assert equal(restored(kept), snapshot(0, 256))


def test_sessions_from_before_there_were_checksums_are_read() -> None:
    saved_session()
    edit_header(lambda header: [segment.pop("crc32") for segment in header["segments"]])
    with session() as kept:
        assert equal(restored(kept), snapshot(0, 256))


def test_files_that_are_not_hips_are_left_alone() -> None:
    folder = paths.private_dir(folder_of("book"))
    mine = folder / "diary.txt"
    mine.write_text("mine")
    with pytest.raises(HipError, match=r"session book: its folder holds diary\.txt, which is not hip's") as caught:
        session()
    assert caught.value.exit_code == 2 and str(folder) in (caught.value.hint or "")
    assert [path.name for path in folder.iterdir()] == ["diary.txt"]
    mine.unlink()
    saved_session()
    (folder / "photos").mkdir()
    with pytest.raises(HipError, match="holds photos"):
        session()
    (folder / "photos").rmdir()
    session().release()


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
        kept.save(64, snapshot)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 2**29))
        with pytest.raises(HipError, match=r"MB needed, 537 MB free on the disk"):
            kept.save(256, snapshot)
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
from small_session import equal, restored, session, snapshot
from hipcli.disk import files
from hipcli.disk.session_header import read_header
from hipcli.disk.sessions import folder_of

def run(stop):
    with session() as kept:
        for stop in range(kept.saved + 8, stop + 1, 8):
            kept.save(stop, snapshot)

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
        assert not kept.saved or equal(restored(kept), snapshot(0, kept.saved))
    before = header.saved
    if header.complete:
        files.remove(folder_of("book"))
        before = 0
"""


def test_kill_at_any_moment_leaves_the_old_session_or_the_new_one() -> None:
    script = [sys.executable, "-c", _KILLED_AGAIN_AND_AGAIN, str(Path(__file__).parents[2])]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
