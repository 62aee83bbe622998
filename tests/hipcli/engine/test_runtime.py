"""What surrounds the loading of a model, and what is told of how it ran."""

import gc
import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hip_attention.rope_config import Yarn

from hipcli.engine import self_check
from hipcli.engine.runtime import _importing

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
ASK = ("ask", "-q", "Why?", "-n", "2", "--device", "cpu", "--dtype", "float32")


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_was_imported_is_never_looked_through_again() -> None:
    with _importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_failed_import_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), _importing():
        raise ImportError
    assert gc.isenabled()


def test_the_end_of_the_process_is_silent() -> None:
    pytest.importorskip("triton")
    program = "from hipcli.engine.runtime import _importing\nwith _importing():\n    import triton"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("family", "road", "because"),
    [
        ("qwen2", "decoder", "qwen2 models are run by hip's own decoder"),
        ("olmo2", "transformers", "olmo2 models are run by transformers"),
    ],
)
def test_json_tells_what_ran(
    hip: Callable[..., Any], note: Path, tmp_path: Path, family: str, road: str, because: str
) -> None:
    folder = TINY["save_model"](tmp_path / family, family, max_position_embeddings=4096)
    done = hip(*ASK, "--model", folder, "--json", note)
    assert done.code == 0, done.err
    told = json.loads(done.out)["attention"]
    assert (told["road"], told["road_because"], told["tokenizer_because"]) == (road, because, None)
    assert (told["backend"], told["rows"], told["eager_because"]) == (
        "torch",
        "dense",
        "CUDA graphs need a CUDA device",
    )
    assert told["unpacked_because"] is not None
    assert told["self_check_s"] > 0
    refused = hip(*ASK, "--model", folder, "--kv-cache", "int8", note)
    assert (refused.code, because in refused.err) == ((0, False) if road == "decoder" else (2, True))


def test_every_kind_of_cache_is_checked_once(
    hip: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = []
    monkeypatch.setattr(self_check, "self_check", lambda loaded, ids, kind: kinds.append(kind))
    books = [tmp_path / f"{number}.txt" for number in range(4)]
    for book, times in zip(books, (1, 2, 20, 30), strict=True):
        book.write_text("The mill burned at dawn again. " * times)
    folder = TINY["save_model"](tmp_path / "qwen2", "qwen2", max_position_embeddings=800)
    options = ("--top-k", "64", "--window", "128", "--kv-cache", "int8")
    done = hip("summarize", "--each", *ASK[3:], *options, "--model", folder, *books)
    assert done.code == 0, done.err
    assert [(kind.yarn, kind.int8) for kind in kinds] == [(None, True), (Yarn(2, 800), True)]
