"""The plug-in under unmodified transformers models with random weights."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hip_attention.cache.cache import Cache
from hip_attention.cache.step import CacheError, Step
from hip_attention.config import HipConfig
from hip_attention.transformers import CacheStep, check_supported, hip_attention_forward
from small_config import SPARSE
from torch import Tensor
from transformers import (
    AttentionInterface,
    AutoModelForCausalLM,
    DeepseekV3Config,
    Gemma2Config,
    Gemma3TextConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PhiConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

SIZES: dict[str, Any] = dict(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=1024,
)
EVERYTHING = HipConfig(
    top_k=1024, block_q=8, block_k=4, sink=8, window=16, min_context=0, dense_layers=0, select_always=True
)
SLIDING_THEN_FULL = ["sliding_attention", "full_attention", "sliding_attention"]
FAMILIES = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "mistral-sliding": MistralConfig(**SIZES, sliding_window=24, head_dim=8),
    "olmo2": Olmo2Config(**SIZES),
    "phi-half-a-head-rotated": PhiConfig(**SIZES, partial_rotary_factor=0.5),
    "gemma3": Gemma3TextConfig(
        **SIZES, head_dim=8, sliding_window=24, layer_types=SLIDING_THEN_FULL, query_pre_attn_scalar=8
    ),
}
IDS = torch.randint(97, (150,), generator=torch.Generator().manual_seed(2))


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    made = build(FAMILIES[request.param])
    yield made
    if hasattr(made.config, "hip"):
        del made.config.hip


def build(config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for name, parameter in made.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return made


@torch.no_grad()
def logits(model: PreTrainedModel, config: HipConfig | None = None, chunk: int = 150, capacity: int = 0) -> Tensor:
    """Logits of IDS, at once or through a cache of ours."""
    if config is None:
        return model(IDS[None], use_cache=False).logits[0]
    cache, parts = Cache(model.config.num_hidden_layers, config, capacity), []
    for start in range(0, len(IDS), chunk):
        ids = IDS[start : start + chunk]
        step, position = Step(start, len(ids)), torch.arange(start, start + len(ids))
        output = model(ids[None], position_ids=position[None], use_cache=False, hip=CacheStep(cache, step))
        parts.append(output.logits[0])
    return torch.cat(parts)


def test_selecting_everything_equals_eager(model: PreTrainedModel) -> None:
    expected = logits(model)
    model.set_attn_implementation("hip")
    model.config.hip = replace(EVERYTHING, select_always=False)
    torch.testing.assert_close(logits(model), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits(model, EVERYTHING, 40), expected, atol=1e-4, rtol=1e-4)


def test_sparse_differs_from_dense_and_chunks_do_not_matter(model: PreTrainedModel) -> None:
    dense = logits(model)
    model.set_attn_implementation("hip")
    whole = logits(model, SPARSE)
    every_layer_slides = model.config.model_type == "mistral"
    assert ((whole - dense).abs().max() > 1e-3) != every_layer_slides
    torch.testing.assert_close(logits(model, SPARSE, 40), whole, atol=5e-5, rtol=5e-5)
    model.config.hip = SPARSE
    torch.testing.assert_close(logits(model), whole, atol=5e-5, rtol=5e-5)


def test_a_context_known_to_be_long_is_sparse_from_its_start() -> None:
    model = build(FAMILIES["llama"])
    model.set_attn_implementation("hip")
    sparse, dense = logits(model, SPARSE), logits(model, replace(SPARSE, backend="dense"))
    late = replace(SPARSE, min_context=150)
    for capacity, expected in ((0, dense), (150, dense), (151, sparse)):
        torch.testing.assert_close(logits(model, late, 40, capacity), expected, atol=5e-5, rtol=5e-5)
    # A prompt that comes in one piece tells how long it is.
    model.config.hip = replace(SPARSE, min_context=149)
    torch.testing.assert_close(logits(model), sparse, atol=5e-5, rtol=5e-5)


@torch.no_grad()
def test_generate_reads_sparsely_and_decodes_densely(model: PreTrainedModel) -> None:
    prompt = model(IDS[None], use_cache=True)
    # Without a mask generate takes some tokens for padding.
    options = dict(max_new_tokens=10, min_new_tokens=10, do_sample=False, attention_mask=torch.ones_like(IDS)[None])
    dense = model.generate(IDS[None], **options)
    model.set_attn_implementation("hip")
    model.config.hip = EVERYTHING
    assert torch.equal(model.generate(IDS[None], **options), dense)
    # After a prompt that eager attention read, a token must be what eager attention makes of it.
    token = dense[:, 150:151]
    model.config.hip = SPARSE
    found = model(token, past_key_values=prompt.past_key_values, position_ids=torch.tensor([[150]])).logits
    model.set_attn_implementation("eager")
    expected = model(torch.cat((IDS[None], token), 1), use_cache=False).logits[:, -1:]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_cache_that_was_not_handed_on_is_noticed() -> None:
    model = build(FAMILIES["llama"])
    model.set_attn_implementation("hip")
    cache = Cache(3, SPARSE)
    model(IDS[None, :40], use_cache=False)
    with pytest.raises(CacheError, match="layer 0 holds 0 tokens where 40 were read"):
        cache.check(40)
    model(IDS[None, :40], use_cache=False, hip=CacheStep(cache, Step(0, 40)))
    cache.check(40)
    with pytest.raises(CacheError, match="8 tokens come after 40 that are cached, where 8 after 48 were counted"):
        model(IDS[None, :8], use_cache=False, hip=CacheStep(cache, Step(48, 8)))


def test_a_cache_with_room_for_later_is_refused() -> None:
    model = build(FAMILIES["llama"])
    model.set_attn_implementation("hip")
    with pytest.raises(ValueError, match="use a dynamic cache"):
        model.generate(IDS[None, :40], max_new_tokens=4, do_sample=False, cache_implementation="static")


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


def test_padding_and_batches_are_refused() -> None:
    model = build(FAMILIES["llama"])
    model.set_attn_implementation("hip")
    with pytest.raises(ValueError, match="several sequences"):
        model(IDS[None].expand(2, -1))
    with pytest.raises(ValueError, match="attention mask"):
        model(IDS[None], attention_mask=torch.zeros(1, 1, 150, 150))


def test_an_argument_that_is_not_known_is_refused_by_name() -> None:
    model = build(FAMILIES["llama"])

    def newer(*arguments: Any, **options: Any) -> Any:
        return hip_attention_forward(*arguments, **options, position_bias=1)

    AttentionInterface.register("hip", newer)
    try:
        model.set_attn_implementation("hip")
        with pytest.raises(ValueError, match="'position_bias', which this version of transformers passes"):
            model(IDS[None])
    finally:
        AttentionInterface.register("hip", hip_attention_forward)
