"""Fused attention modules against those they replace."""

import copy
import runpy
import weakref
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hip_attention.config import HipConfig
from hip_attention.rope import IdentityRotary
from hip_attention.transformers import HipCache, count_calls, prepare_rotary
from small_engine import DOCUMENT, QUESTION, SPARSE, Bytes, random_llama
from transformers import PreTrainedModel

from hipcli.engine.engine import Engine
from hipcli.engine.events import Token
from hipcli.models.load import load_model
from hipcli.models.norms import FusedRMSNorm, fuse_norms
from hipcli.models.packing import PackedLinear, pack_linear_layers
from hipcli.models.projections import FusedAttention, fuse_attention
from hipcli.models.resolve import ModelSource

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
FAMILIES = ["llama", "qwen2", "qwen3", "mistral"]
EXACT = replace(SPARSE, packed_from=None)
PACKED = replace(SPARSE, packed_from=96)


def made(family: str, dtype: torch.dtype = torch.float32, **settings: object) -> PreTrainedModel:
    model = TINY["make_model"](family, **settings).to(dtype)
    model.set_attn_implementation("hip")
    return model


def fused(model: PreTrainedModel) -> list[bool]:
    return [isinstance(layer.self_attn, FusedAttention) for layer in model.model.layers]


@torch.inference_mode()
def read_and_decoded(model: PreTrainedModel, config: HipConfig) -> torch.Tensor:
    """Logits of 150 tokens read in two chunks and 10 decoded."""
    ids = torch.randint(320, (1, 160), generator=torch.Generator().manual_seed(1))
    cache = HipCache(model.config, config, 160, prepare_rotary(model, config, 160))
    cuts = [0, 64, *range(150, 161)]
    parts = [model(ids[:, start:stop], past_key_values=cache, use_cache=True).logits for start, stop in pairwise(cuts)]
    return torch.cat(parts, 1)


@pytest.mark.parametrize("config", [EXACT, PACKED], ids=["rotated", "packed"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_stay(family: str, config: HipConfig) -> None:
    model = made(family)
    expected = read_and_decoded(model, config)
    assert isinstance(model.model.rotary_emb, IdentityRotary) == (config is PACKED)
    fuse_attention(model)
    assert fused(model) == [True, True]
    torch.testing.assert_close(read_and_decoded(model, config), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_without_a_cache_stay(family: str) -> None:
    model, ids = made(family), torch.arange(40)[None]
    with torch.inference_mode():
        expected = model(ids, use_cache=False).logits
        fuse_attention(model)
        with count_calls() as counter:
            found = model(ids, use_cache=False).logits
    assert counter.calls == 2
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_in_bfloat16(family: str) -> None:
    model, ids = made(family, torch.bfloat16), torch.arange(40)[None]
    with torch.inference_mode():
        expected = model(ids, use_cache=False).logits
        fuse_attention(model)
        torch.testing.assert_close(model(ids, use_cache=False).logits, expected, atol=0.03, rtol=0.03)
    assert fused(model) == [True, True]
    pack_linear_layers(model)
    assert type(model.model.layers[0].self_attn.qkv_proj) is type(model.model.layers[0].mlp.up_proj)


def test_settings_that_attention_is_called_with_stay() -> None:
    model = made("mistral")
    before = copy.copy(vars(model.model.layers[1].self_attn))
    fuse_attention(model)
    after = model.model.layers[1].self_attn
    assert after._options["sliding_window"] == 8
    for name in ("config", "layer_idx", "head_dim", "num_key_value_groups", "scaling", "is_causal"):
        assert getattr(after, name) is before[name]


def test_norms_of_queries_and_keys_are_fused_in_any_order() -> None:
    model = made("qwen3")
    expected = read_and_decoded(model, EXACT)
    fuse_attention(model)
    fuse_norms(model)
    assert isinstance(model.model.layers[0].self_attn.q_norm, FusedRMSNorm)
    torch.testing.assert_close(read_and_decoded(model, EXACT), expected, atol=1e-5, rtol=1e-5)


def test_answers_stay_token_by_token() -> None:
    def answer(model: PreTrainedModel) -> str:
        engine = Engine(model, Bytes(), SPARSE, capacity=400)
        list(engine.read(DOCUMENT))
        return "".join(event.text for event in engine.answer(QUESTION, 30) if isinstance(event, Token))

    model = random_llama()
    expected = answer(model)
    fuse_attention(model)
    assert fused(model) == [True] * 3
    assert answer(model) == expected
    assert expected


def test_replaced_weights_are_gone_when_the_next_layer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("llama")
    replaced = [weakref.ref(layer.self_attn.q_proj.weight) for layer in model.model.layers]
    alive = []
    begin = FusedAttention.__init__

    def watched(self: FusedAttention, *arguments: object) -> None:
        alive.append([weight() is not None for weight in replaced])
        begin(self, *arguments)

    monkeypatch.setattr(FusedAttention, "__init__", watched)
    count = sum(parameter.numel() for parameter in model.parameters())
    fuse_attention(model)
    assert alive == [[True, True], [False, True]]
    assert not any(weight() for weight in replaced)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_other_classes_stay() -> None:
    model = made("gemma3_text")
    fuse_attention(model)
    assert not any(fused(model))


def test_a_module_that_computes_something_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("llama")
    attention = type(model.model.layers[0].self_attn)
    forward = attention.forward

    def gated(self: torch.nn.Module, *arguments: object, **options: object) -> tuple[torch.Tensor, None]:
        output, weights = forward(self, *arguments, **options)
        return output * 1.01 if self.layer_idx == 1 else output, weights

    monkeypatch.setattr(attention, "forward", gated)
    fuse_attention(model)
    assert fused(model) == [True, False]


def test_shared_and_quantised_layers_stay() -> None:
    model = made("llama", num_hidden_layers=5)
    layers = [layer.self_attn for layer in model.model.layers]
    layers[0].k_proj.weight = layers[0].v_proj.weight
    model.model.layers[2].self_attn = layers[1]
    layers[3].q_proj = type("Quantised", (torch.nn.Linear,), {})(64, 128, bias=False)
    fuse_attention(model)
    assert fused(model) == [False, False, False, False, True]
    packed = made("llama", torch.bfloat16)
    pack_linear_layers(packed)
    if isinstance(packed.model.layers[0].self_attn.q_proj, PackedLinear):
        fuse_attention(packed)
        assert not any(fused(packed))


def test_another_attention_stays(tmp_path: Path) -> None:
    model = TINY["make_model"]("llama")
    fuse_attention(model)
    assert not any(fused(model))
    model.save_pretrained(tmp_path)
    source = ModelSource("tiny", tmp_path, "")
    for attention in ("hip", "sdpa"):
        loaded = load_model(source, "cpu", "float32", attention)
        assert fused(loaded) == [attention == "hip"] * 2
