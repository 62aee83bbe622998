"""Converted models: each GGUF file is converted once, and a failed conversion leaves nothing."""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_files import unfinished

from hipcli.disk import converted
from hipcli.errors import HipError
from hipcli.models import gguf
from hipcli.models.resolve import resolve, shape


def test_converted_once(tiny_gguf: Path, cache: Path) -> None:
    notices: list[str] = []
    first = resolve(str(tiny_gguf), notices.append)
    assert notices == ["converting tiny.gguf, once"]
    assert resolve(str(tiny_gguf), notices.append) == first
    assert len(notices) == 1
    assert shape(first).layers == 2
    assert len(first.revision) == 64
    assert first.path.stat().st_mode & 0o077 == 0
    assert unfinished(cache) == []
    assert [model.origin for model in converted.all_converted()] == [str(tiny_gguf)]


def test_changed_file_is_converted_anew(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    shutil.copy(tiny_gguf, path)
    first = resolve(str(path))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert resolve(str(path)).revision != first.revision


def test_two_processes_at_once(tiny_gguf: Path, cache: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(resolve, [str(tiny_gguf)] * 2)
    assert first == second
    assert (first.path / "model.safetensors").is_file()
    assert unfinished(cache) == []


def test_failure_leaves_nothing(tiny_gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf, "convert", full)
    with pytest.raises(HipError, match="no space left") as caught:
        resolve(str(tiny_gguf))
    assert "HIPCLI_CACHE_DIR" in (caught.value.hint or "")
    assert [entry.name for entry in (cache / "models").iterdir()] == ["checksums"]


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage"), [("model.safetensors", flip), ("config.json", empty), ("tokenizer.json", Path.unlink)]
)
def test_pull_repairs_what_is_damaged(
    name: str, damage: Callable[[Path], object], tiny_gguf: Path, cache: Path
) -> None:
    notices: list[str] = []
    source = resolve(str(tiny_gguf))
    sound = {path.name: path.read_bytes() for path in source.path.iterdir()}
    damage(source.path / name)
    assert not converted.is_whole(source.path)
    assert resolve(str(tiny_gguf), notices.append, refresh=True) == source
    assert notices == ["converting tiny.gguf again: what is there is damaged"]
    assert {path.name: path.read_bytes() for path in source.path.iterdir()} == sound
    assert resolve(str(tiny_gguf), notices.append, refresh=True) == source
    assert len(notices) == 1 and unfinished(cache) == []


def test_models_from_before_there_were_checksums(tiny_gguf: Path) -> None:
    notices: list[str] = []
    folder = resolve(str(tiny_gguf)).path
    note = json.loads((folder / "origin.json").read_text())
    del note["crc32"]
    (folder / "origin.json").write_text(json.dumps(note))
    resolve(str(tiny_gguf), notices.append, refresh=True)
    assert notices == []
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    resolve(str(tiny_gguf), notices.append, refresh=True)
    assert len(notices) == 1 and converted.is_whole(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_run_says_how_to_repair_a_damaged_model(
    name: str, tiny_gguf: Path, hip: Callable[..., Any], note: Path
) -> None:
    folder = resolve(str(tiny_gguf)).path
    empty(folder / name)
    done = hip("ask", "-q", "When?", "-m", tiny_gguf, "--attention", "dense", "--max-tokens", "8", note)
    assert done.code == 1
    assert f"the converted model is damaged: `hip models pull {tiny_gguf}` makes it anew" in done.err


def test_an_error_about_a_sound_model_is_left_as_it_is(tiny_gguf: Path) -> None:
    folder = resolve(str(tiny_gguf)).path
    with pytest.raises(HipError) as caught, converted.explained(folder, "m"):
        raise HipError("no", "hint")
    assert caught.value.hint == "hint"


def test_a_note_of_a_checksum_that_is_damaged_is_made_again(tiny_gguf: Path, cache: Path) -> None:
    sha256 = converted.sha256_of(tiny_gguf)
    (note,) = (cache / "models" / "checksums").iterdir()
    note.write_bytes(b"\xff" * 64)
    assert converted.sha256_of(tiny_gguf) == sha256


def test_too_little_space_is_told_before(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(HipError, match=r"MB needed, 0 MB free"):
        resolve(str(tiny_gguf))


def test_cache_that_is_a_file(tiny_gguf: Path, cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(HipError, match="cannot write the cache"):
        resolve(str(tiny_gguf))
