"""Fixtures for tests of models on disk: the cache directory, and a small GGUF file."""

import runpy
from pathlib import Path

import pytest

TINY = Path(__file__).parents[1] / "data/tiny_models.py"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache directory of this test. It does not exist yet."""
    monkeypatch.setenv("HIPCLI_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file with a Llama model of two layers."""
    tiny = runpy.run_path(str(TINY))
    path: Path = tiny["write_gguf"](tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny["make_model"]("llama"))
    return path
