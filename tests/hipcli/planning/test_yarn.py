"""Positions stretched by YaRN, on tiny random models: what transformers computes, and nothing left behind."""

import copy
import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hip_attention import HipConfig
from hip_attention.rope_config import Yarn
from small_engine import SPARSE, Bytes
from transformers import AutoModelForCausalLM

from hipcli.engine.engine import Engine
from hipcli.errors import HipError

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
IDS = [(7 * i * i + 3 * i) % 256 for i in range(900)]
DENSE = HipConfig(backend="dense")


@pytest.fixture
def model():
    made = TINY["make_model"]("qwen2")  # 512 positions
    made.set_attn_implementation("hip")
    return made


def logits(model, factor: float | None, config: HipConfig = DENSE) -> torch.Tensor:
    made = Engine(model, Bytes(), config, capacity=1000, yarn=None if factor is None else Yarn(factor, 512))
    list(made.read(IDS[:800]))
    return made._forward(IDS[made.length :])


@torch.no_grad()
def test_logits_are_those_of_a_model_configured_with_yarn(model) -> None:
    config = copy.deepcopy(model.config)
    config.rope_parameters |= {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 512}
    theirs = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    theirs.load_state_dict(model.state_dict())
    expected = theirs(torch.tensor([IDS])).logits[:, -1]
    torch.testing.assert_close(logits(model, 2), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    assert (logits(model, None) - expected).abs().max() > 0.01 * expected.abs().max()


@pytest.mark.parametrize("config", [DENSE, SPARSE, replace(SPARSE, packed_from=512)], ids=["dense", "hip", "packed"])
def test_a_stretch_leaves_no_trace_in_the_next_reading(model, config: HipConfig) -> None:
    plain, twice, four_times = (logits(model, factor, config) for factor in (None, 2, 4))
    assert logits(model, None, config).equal(plain)
    assert logits(model, 2, config).equal(twice)
    assert not plain.equal(twice) and not twice.equal(four_times)


@pytest.mark.parametrize(
    ("family", "rope"), [("gemma3_text", {}), ("llama", {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4})]
)
def test_positions_that_cannot_be_stretched_are_refused(family: str, rope: dict[str, object]) -> None:
    model = TINY["make_model"](family, **({"rope_parameters": rope} if rope else {}))
    model.set_attn_implementation("hip")
    with pytest.raises(HipError, match=f"--positions yarn: {family} positions") as caught:
        Engine(model, Bytes(), DENSE, yarn=Yarn(2, 512))
    assert caught.value.hint


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
