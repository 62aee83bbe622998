"""The plug-in under unmodified transformers models with random weights."""

import copy
from dataclasses import replace

import pytest
import torch
from hip_attention import HipConfig
from hip_attention.transformers import HipCache, attach_rotary, check_supported, count_calls, detach_rotary
from small_config import SPARSE
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    Gemma2Config,
    Gemma3TextConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
)

SIZES = dict(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=1024,
)
EVERYTHING = HipConfig(top_k=1024, block_q=8, block_k=4, sink=8, window=16, min_context=0, dense_layers=0)
SLIDING_THEN_FULL = ["sliding_attention", "full_attention", "sliding_attention"]
FAMILIES = {
    "llama": LlamaConfig(**SIZES),
    "llama3-rope": LlamaConfig(
        **SIZES,
        rope_parameters=dict(
            rope_type="llama3",
            rope_theta=10000.0,
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=128,
        ),
    ),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "mistral": MistralConfig(**SIZES, sliding_window=None, head_dim=8),
    "mistral-sliding": MistralConfig(**SIZES, sliding_window=24, head_dim=8),
    "gemma3": Gemma3TextConfig(
        **SIZES, head_dim=8, sliding_window=24, layer_types=SLIDING_THEN_FULL, query_pre_attn_scalar=8
    ),
}


@pytest.fixture(params=FAMILIES)
def model(request):
    yield from build(FAMILIES[request.param])


@pytest.fixture(params=FAMILIES)
def ungrouped(request):
    """A model whose query heads share no keys, so that decode selects for each of them as prefill does."""
    config = copy.deepcopy(FAMILIES[request.param])
    config.num_key_value_heads = config.num_attention_heads
    yield from build(config)


def build(config):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    yield model
    del model.config.hip


@pytest.fixture
def ids():
    return torch.randint(97, (1, 150), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def logits(model, ids, cache=None, chunk=1000):
    parts = [
        model(ids[:, a : a + chunk], past_key_values=cache, use_cache=cache is not None).logits
        for a in range(0, ids.shape[1], chunk)
    ]
    return torch.cat(parts, 1)


def test_everything_selected_equals_eager(model, ids) -> None:
    model.config.hip = EVERYTHING
    expected = logits(model, ids)
    model.set_attn_implementation("hip")
    torch.testing.assert_close(logits(model, ids), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits(model, ids, HipCache(model.config), 40), expected, atol=1e-4, rtol=1e-4)


def test_sparse_differs_from_dense_and_chunks_do_not_matter(model, ids) -> None:
    model.config.hip = SPARSE
    dense = logits(model, ids)
    model.set_attn_implementation("hip")
    whole = logits(model, ids)
    every_layer_slides = model.config.model_type == "mistral" and model.config.sliding_window
    assert ((whole - dense).abs().max() > 1e-3) != bool(every_layer_slides)
    torch.testing.assert_close(logits(model, ids, HipCache(model.config), 40), whole, atol=5e-5, rtol=5e-5)


def test_a_context_known_to_be_long_is_sparse_from_its_start(model, ids) -> None:
    model.set_attn_implementation("hip")
    model.config.hip = SPARSE
    sparse = logits(model, ids[:, :140])
    model.config.hip = replace(SPARSE, min_context=140)
    dense = logits(model, ids[:, :140])
    for capacity, chunk, expected in ((0, 40, dense), (140, 40, dense), (141, 40, sparse), (0, 140, dense)):
        cache = HipCache(model.config, capacity=capacity)
        torch.testing.assert_close(logits(model, ids[:, :140], cache, chunk), expected, atol=5e-5, rtol=5e-5)
    # A prompt that comes in one piece tells how long it is.
    model.config.hip = replace(SPARSE, min_context=139)
    for cache in (HipCache(model.config), None):
        torch.testing.assert_close(logits(model, ids[:, :140], cache), sparse, atol=5e-5, rtol=5e-5)


def test_unrotated_cache_gives_the_same_logits(model, ids) -> None:
    model.config.hip = SPARSE
    model.set_attn_implementation("hip")
    whole = logits(model, ids)
    rotaries = detach_rotary(model, 200)
    assert rotaries is not None
    torch.testing.assert_close(
        logits(model, ids, HipCache(model.config, rotaries=rotaries), 40), whole, atol=5e-5, rtol=5e-5
    )


@torch.no_grad()
def test_generate_equals_a_loop_over_an_unrotated_cache(model, ids) -> None:
    model.config.hip = SPARSE
    model.set_attn_implementation("hip")
    generated = model.generate(
        ids, past_key_values=HipCache(model.config), max_new_tokens=20, min_new_tokens=20, do_sample=False
    )[0, 150:].tolist()
    cache = HipCache(model.config, rotaries=detach_rotary(model, 200))
    row = logits(model, ids, cache, 64)[:, -1]
    tokens = []
    for _ in range(20):
        row[:, model.generation_config.eos_token_id or []] = -torch.inf
        tokens.append(int(row.argmax()))
        row = model(torch.tensor([tokens[-1:]]), past_key_values=cache).logits[:, -1]
    assert tokens == generated


@torch.no_grad()
def test_generate_works_with_the_cache_transformers_makes(ungrouped, ids) -> None:
    # The other cache is no HipCache: every token goes through prefill there, which must select as decode does.
    ungrouped.config.hip = replace(SPARSE, selector="summary", refresh_interval=1)
    ungrouped.set_attn_implementation("hip")
    options = dict(max_new_tokens=10, do_sample=False)
    with_ours = ungrouped.generate(ids, past_key_values=HipCache(ungrouped.config), **options)
    assert torch.equal(ungrouped.generate(ids, **options), with_ours)


def test_no_mask_is_built_and_every_layer_asks(model, ids) -> None:
    model.set_attn_implementation("hip")
    model.config.hip = SPARSE
    with count_calls() as counter:
        logits(model, ids)
    assert counter.calls == model.config.num_hidden_layers


def test_what_is_not_supported_is_refused_by_name() -> None:
    refusals = {
        "softcapping": Gemma2Config(**SIZES, head_dim=8),
        "sinks": GptOssConfig(),
        "latent": DeepseekV3Config(),
    }
    for reason, config in refusals.items():
        with pytest.raises(ValueError, match=reason):
            check_supported(config)
    for config in FAMILIES.values():
        check_supported(config)


def test_padding_and_batches_are_refused(ids) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES["llama"], attn_implementation="hip").eval()
    with pytest.raises(ValueError, match="several sequences"):
        logits(model, ids.expand(2, -1))
    with pytest.raises(ValueError, match="attention mask"):
        model(ids, attention_mask=torch.zeros(1, 1, 150, 150))


def test_partial_rotation_keeps_the_models_own(ids) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(PhiConfig(**SIZES, partial_rotary_factor=0.5), attn_implementation="hip")
    model.config.hip = SPARSE
    before = logits(model.eval(), ids)
    assert detach_rotary(model, 200) is None
    assert torch.equal(logits(model, ids), before)


@pytest.mark.parametrize("rope_type", ["dynamic", "longrope"])
def test_frequencies_that_depend_on_length_are_the_same_in_every_chunk(ids, rope_type: str) -> None:
    parameters = dict(rope_type=rope_type, rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64)
    if rope_type == "longrope":
        parameters |= dict(short_factor=[1.0] * 4, long_factor=[3.0] * 4)
    sizes = SIZES | dict(max_position_embeddings=64)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(**sizes, rope_parameters=parameters), attn_implementation="hip"
    )
    model.eval().config.hip = EVERYTHING
    whole = logits(model, ids)
    for capacity in (40, 150):  # first a short prompt, then a longer one on the same model
        cache = HipCache(model.config, rotaries=detach_rotary(model, capacity))
    torch.testing.assert_close(logits(model, ids, cache, 40), whole, atol=1e-4, rtol=1e-4)
    attach_rotary(model)
    torch.testing.assert_close(logits(model, ids), whole)
