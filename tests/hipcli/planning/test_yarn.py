"""Positions stretched by YaRN, on tiny random models: what transformers computes, and nothing left behind."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hip_attention import HipConfig
from hip_attention.rope_config import Yarn
from reloaded import load, save
from small_engine import SPARSE, Bytes

from hipcli.engine.engine import Engine
from hipcli.engine.prefill import Context
from hipcli.engine.self_check import CacheKind, self_check
from hipcli.errors import ExitCode, HipError
from hipcli.models.language_model import LoadedModel

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
IDS = [(7 * i * i + 3 * i) % 256 for i in range(900)]
DENSE = HipConfig(backend="dense")
LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
GEMMA = {"full_attention": LINEAR, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A model with 512 positions."""
    return load(save(TINY["make_model"]("qwen2"), tmp_path_factory.mktemp("qwen2")))


@torch.inference_mode()
def logits(loaded: LoadedModel, factor: float | None, config: HipConfig = DENSE) -> torch.Tensor:
    yarn = None if factor is None else Yarn(factor, 512)
    return loaded.model.logits(Context(loaded.model, config, 1000, yarn=yarn).hidden(IDS)[-1:])


@torch.inference_mode()
def test_logits_are_those_of_a_model_configured_with_yarn(loaded: LoadedModel) -> None:
    rope = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 512, "rope_theta": 10_000.0}
    theirs = TINY["make_model"]("qwen2", rope_parameters=rope)
    theirs.set_attn_implementation("eager")
    expected = theirs(torch.tensor([IDS])).logits[:, -1]
    torch.testing.assert_close(logits(loaded, 2), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    assert (logits(loaded, None) - expected).abs().max() > 0.01 * expected.abs().max()


@pytest.mark.parametrize("config", [DENSE, SPARSE, replace(SPARSE, packed_from=512)], ids=["dense", "hip", "packed"])
def test_a_stretch_leaves_no_trace_in_the_next_reading(loaded: LoadedModel, config: HipConfig) -> None:
    plain, twice, four_times = (logits(loaded, factor, config) for factor in (None, 2, 4))
    assert logits(loaded, None, config).equal(plain)
    assert logits(loaded, 2, config).equal(twice)
    assert not plain.equal(twice) and not twice.equal(four_times)


@pytest.mark.parametrize(
    ("family", "rope", "said"),
    [
        ("gemma3_text", None, "not alike in all layers"),
        ("gemma3_text", GEMMA, "not alike in all layers"),
        ("llama", LINEAR, "already scaled \\(linear\\)"),
    ],
)
def test_positions_that_cannot_be_stretched_are_refused(
    tmp_path: Path, family: str, rope: dict[str, Any] | None, said: str
) -> None:
    loaded = load(save(TINY["make_model"](family, **({"rope_parameters": rope} if rope else {})), tmp_path))
    for attempt in (
        lambda: Engine(loaded, Bytes(), DENSE, yarn=Yarn(2, 512)),
        lambda: self_check(loaded, IDS, CacheKind(DENSE, Yarn(2, 512))),
    ):
        with pytest.raises(HipError, match=f"--positions yarn: rotary positions are {said}") as caught:
            attempt()
        assert caught.value.hint
        assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(("family", "positions"), [("qwen2", "yarn"), ("llama", "packed")])
def test_a_book_longer_than_the_window_from_the_command_line(hip, tmp_path, family: str, positions: str) -> None:
    folder = TINY["save_model"](tmp_path / family, family, max_position_embeddings=4096)
    book = tmp_path / "book.txt"
    book.write_text("The mill burned at dawn again. " * 150)
    arguments = ("ask", "-q", "When?", "-n", "4", "--model", folder, "--device", "cpu", "--dtype", "float32", "--json")
    done = hip(*arguments, book)
    assert done.code == 0, done.err
    assert "beyond the 4,096 that" in done.err
    result = json.loads(done.out)
    assert result["usage"]["prompt_tokens"] > 4096
    assert result["attention"]["positions"] == positions
    assert result["attention"]["yarn_factor"] == (2 if positions == "yarn" else 1)
    assert result["attention"]["packed_from"] == (None if positions == "yarn" else 4096)
    assert hip(*arguments, "--positions", "exact", book).code == 3


def test_a_stretch_that_cannot_be_is_a_usage_error(hip, tmp_path) -> None:
    folder = TINY["save_model"](tmp_path / "gemma", "gemma3_text", rope_parameters=GEMMA)
    book = tmp_path / "book.txt"
    book.write_text("The mill burned at dawn again. " * 40)
    done = hip("summarize", "-n", "4", "--model", folder, "--device", "cpu", "--positions", "yarn", book)
    assert (done.code, done.out) == (2, "")
    assert "hip: error: --positions yarn: rotary positions are not alike in all layers" in done.err
