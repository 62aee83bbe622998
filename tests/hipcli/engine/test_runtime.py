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
SHORT = ("-n", "2", "--device", "cpu", "--dtype", "float32")


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
    ("family", "implementation", "because"),
    [
        ("qwen2", "decoder", "qwen2 models are run by hip's own decoder"),
        ("olmo2", "transformers", "olmo2 models are run by transformers"),
    ],
)
def test_json_tells_what_ran(
    hip: Callable[..., Any], note: Path, tmp_path: Path, family: str, implementation: str, because: str
) -> None:
    folder = TINY["save_model"](tmp_path / family, family, max_position_embeddings=4096)
    arguments = ("summarize", *SHORT, "--model", folder, note)
    done = hip(*arguments, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)["attention"]
    assert (told["implementation"], told["implementation_because"]) == (implementation, because)
    assert (told["backend"], told["rows"], told["tokenizer_because"]) == ("torch", "dense", None)
    assert all(told[f"{what}_because"] for what in ("dense", "eager", "unpacked"))
    assert told["self_check_s"] > 0
    refused = hip(*arguments, "--kv-cache", "int8")
    assert (refused.code, because in refused.err) == ((0, False) if implementation == "decoder" else (2, True))


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
    done = hip("summarize", "--each", *SHORT, *options, "--model", folder, *books)
    assert done.code == 0, done.err
    assert [(kind.yarn, kind.int8) for kind in kinds] == [(None, True), (Yarn(2, 800), True)]
