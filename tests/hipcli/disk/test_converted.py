"""Converted models: each GGUF file is converted once, and a failed conversion leaves nothing."""

import multiprocessing
import shutil
from pathlib import Path

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


def test_too_little_space_is_told_before(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(HipError, match=r"MB needed, 0 MB free"):
        resolve(str(tiny_gguf))


def test_cache_that_is_a_file(tiny_gguf: Path, cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(HipError, match="cannot write the cache"):
        resolve(str(tiny_gguf))
