"""The own decoder against transformers, family by family: at once, in chunks, token by token."""

import runpy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn
from reloaded import load, save

from hipcli.engine.prefill import Context
from hipcli.models.language_model import LoadedModel
from hipcli.models.resolve import resolve

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
IDS = torch.randint(320, (160,), generator=torch.Generator().manual_seed(1))
LLAMA3 = dict(
    rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=64,
)  # fmt: skip
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64)
DEEPSEEK = {**YARN, "mscale": 0.7, "mscale_all_dim": 1.2, "beta_fast": 16.0, "beta_slow": 2.0}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}}),
    "llama-llama3": ("llama", {"rope_parameters": LLAMA3}),
    "llama-yarn": ("llama", {"rope_parameters": DEEPSEEK}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral-sliding": ("mistral", {}),
    "qwen2": ("qwen2", {}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2-sliding": ("qwen2", {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}),
    "qwen2-yarn": ("qwen2", {"rope_parameters": {**YARN, "attention_factor": 1.3, "truncate": False}}),
    "qwen3": ("qwen3", {}),
    "qwen3-ungrouped": ("qwen3", {"num_key_value_heads": 4, "attention_bias": True}),
    "gemma3": ("gemma3_text", {}),
    "gemma3-untied": ("gemma3_text", {"tie_word_embeddings": False}),
}
# Everything is selected, by the search where there is something to search.
SEARCH_ALL = HipConfig(
    top_k=256, block_q=8, block_k=4, sink=8, window=16, min_context=0, dense_layers=0, select_always=True
)


def made(case: str) -> Any:
    family, settings = CASES[case]
    model = TINY["make_model"](family, **settings)
    model.set_attn_implementation("eager")
    return model


@torch.inference_mode()
def logits(loaded: LoadedModel, config: HipConfig, cuts: list[int], **options: Any) -> torch.Tensor:
    """Logits [T, vocabulary] of the tokens in the parts that `cuts` makes, the single ones decoded."""
    context = Context(loaded.model, config, len(IDS), chunk_tokens=64, **options)
    parts = []
    for start, stop in pairwise(cuts):
        part = IDS[start:stop].tolist()
        parts.append(context.decode(part[0]) if stop == start + 1 else loaded.model.logits(context.hidden(part)))
    return torch.cat(parts)


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(case: str, tmp_path: Path) -> None:
    model = made(case)
    with torch.inference_mode():
        expected = model(IDS[None], use_cache=False).logits[0]
    loaded = load(save(model, tmp_path))
    assert loaded.implementation == "decoder"
    for config in (HipConfig(backend="dense"), SEARCH_ALL):
        for cuts in ([0, 160], [0, 64, 150, *range(151, 161)]):
            torch.testing.assert_close(logits(loaded, config, cuts), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_the_plain_forward_is_that_of_transformers(case: str, tmp_path: Path) -> None:
    model = made(case)
    with torch.inference_mode():
        output = model(IDS[None], use_cache=True)
    reference = load(save(model, tmp_path)).reference(IDS, None)
    torch.testing.assert_close(reference.logits, output.logits[0], atol=1e-4, rtol=1e-4)
    for layer, stored in enumerate(output.past_key_values.layers):
        if stored.keys.shape[2] == len(IDS):  # a sliding layer keeps its last tokens
            torch.testing.assert_close(reference.keys[layer], stored.keys[0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(reference.values[layer], stored.values[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("options", [{"int8": True}, {}], ids=["int8", "full"])
@pytest.mark.parametrize("packed_from", [None, 1 << 20], ids=["rotated", "unrotated"])
def test_however_keys_are_stored_logits_stay(packed_from: int | None, options: dict[str, Any], tmp_path: Path) -> None:
    loaded = load(save(made("qwen3"), tmp_path))
    config = HipConfig(
        top_k=256, block_q=8, block_k=4, sink=8, window=16, min_context=0, dense_layers=1, packed_from=packed_from,
        select_always=True,
    )  # fmt: skip
    cuts = [0, 64, 150, *range(151, 161)]
    expected = logits(loaded, HipConfig(backend="dense"), cuts)
    tolerance = 0.05 if options else 1e-4
    torch.testing.assert_close(logits(loaded, config, cuts, **options), expected, atol=tolerance, rtol=1e-4)


PACKED = HipConfig(
    top_k=32, block_q=8, block_k=4, sink=8, window=16, min_context=0, dense_layers=0, packed_from=64, refresh_interval=1
)


@pytest.mark.parametrize("case", ["llama", "qwen3"])
def test_packed_positions_with_room_for_all_keys_are_exact(case: str, tmp_path: Path) -> None:
    loaded = load(save(made(case), tmp_path))
    cuts = [0, 64, 150, *range(151, 161)]
    packed = logits(loaded, replace(PACKED, top_k=256), cuts)
    torch.testing.assert_close(packed, logits(loaded, HipConfig(backend="dense"), cuts), atol=1e-4, rtol=1e-4)


def test_packed_positions_do_not_depend_on_chunks_and_begin_where_they_should(tmp_path: Path) -> None:
    loaded = load(save(made("llama"), tmp_path))
    whole = logits(loaded, PACKED, [0, 160])
    for cuts in ([0, 24, 80, 160], [0, 72, 88, 96, 160]):
        torch.testing.assert_close(logits(loaded, PACKED, cuts), whole, atol=1e-4, rtol=1e-4)
    exact = logits(loaded, replace(PACKED, packed_from=1 << 20), [0, 160])
    torch.testing.assert_close(whole[:64], exact[:64], atol=1e-4, rtol=1e-4)
    assert (whole[72:] - exact[72:]).abs().max() > 1e-2


def test_int8_keys_and_values_change_little(tmp_path: Path) -> None:
    loaded = load(save(made("qwen2"), tmp_path))
    cuts = [0, 64, 150, *range(151, 161)]
    full, int8 = (logits(loaded, SEARCH_ALL, cuts, int8=int8).log_softmax(-1) for int8 in (False, True))
    difference = (full.exp() * (full - int8)).sum(-1).mean().item()
    assert 0 < difference < 1e-3


def test_stretched_positions_are_those_of_transformers(tmp_path: Path) -> None:
    stretched = TINY["make_model"]("qwen3", rope_parameters=YARN)
    with torch.inference_mode():
        expected = stretched(IDS[None], use_cache=False).logits[0]
    loaded = load(save(made("qwen3"), tmp_path))
    found = logits(loaded, HipConfig(backend="dense"), [0, 100, 160], yarn=Yarn(4, 64))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(loaded.reference(IDS, Yarn(4, 64)).logits, expected, atol=1e-4, rtol=1e-4)
    scaled = load(save(stretched, tmp_path / "scaled"))
    with pytest.raises(ValueError, match="already scaled"):
        logits(scaled, HipConfig(), [0, 160], yarn=Yarn(2, 64))


@pytest.mark.parametrize("case", ["llama", "qwen2", "gemma3"])
def test_in_bfloat16_logits_are_as_close_as_rounding_lets_them(case: str, tmp_path: Path) -> None:
    model = made(case)
    source = save(model, tmp_path)
    with torch.inference_mode():
        expected = model(IDS[None], use_cache=False).logits[0]
    found = logits(load(source, torch.bfloat16), SEARCH_ALL, [0, 64, 150, *range(151, 161)])
    assert (found - expected).norm() < 0.03 * expected.norm()


@pytest.mark.model
@pytest.mark.slow
def test_the_embedded_model_writes_what_generate_writes() -> None:
    from transformers import AutoModelForCausalLM

    source = resolve(None)
    loaded = load(source)
    model = AutoModelForCausalLM.from_pretrained(source.path, dtype=torch.float32)
    prompt = list(range(5000, 5040))
    expected = model.generate(torch.tensor([prompt]), max_new_tokens=200, min_new_tokens=200, do_sample=False)[0, 40:]
    context = Context(loaded.model, HipConfig(), 256)
    row, found = context.next_logits(prompt), []
    for _ in range(200):
        allowed = row.index_fill(1, torch.tensor(sorted(loaded.stops)), -torch.inf)  # as min_new_tokens asks
        found.append(int(allowed.argmax()))
        row = context.decode(found[-1])
    assert found == expected.tolist()
