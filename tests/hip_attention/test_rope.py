"""Frequencies and rotation against transformers' own."""

from typing import Any

import pytest
import torch
from hip_attention.rope import Rope
from hip_attention.rope_config import RopeConfig, Yarn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
CASES: list[tuple[RopeConfig, dict[str, Any]]] = [
    (RopeConfig(5e5), {"rope_type": "default"}),
    (RopeConfig(5e5, "linear", 4.0), {"rope_type": "linear", "factor": 4.0}),
    (
        RopeConfig(5e5, "llama3", 8.0, 8192, 1.0, 4.0),
        {
            "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
        },
    ),
    (RopeConfig(5e5, "yarn", 4.0, 4096), YARN),
    (RopeConfig(5e5, "yarn", 4.0, 4096, attention_factor=1.5), {**YARN, "attention_factor": 1.5}),
    (RopeConfig(5e5, "yarn", 4.0, 4096, truncate=False), {**YARN, "truncate": False}),
    (RopeConfig(5e5, "yarn", 4.0, 4096, beta_fast=16, beta_slow=2), {**YARN, "beta_fast": 16.0, "beta_slow": 2.0}),
    (RopeConfig(5e5).stretched(Yarn(4.0, 4096)), YARN),
]  # fmt: skip


def theirs(parameters: dict[str, Any], dim: int) -> LlamaRotaryEmbedding:
    rope = {"rope_theta": 5e5, **parameters}
    return LlamaRotaryEmbedding(
        LlamaConfig(hidden_size=4 * dim, num_attention_heads=4, head_dim=dim, rope_parameters=rope)
    )


@pytest.mark.parametrize("dim", [16, 64, 128])
@pytest.mark.parametrize(("config", "parameters"), CASES)
def test_frequencies(config: RopeConfig, parameters: dict[str, Any], dim: int) -> None:
    module = theirs(parameters, dim)
    found, scale = config.frequencies(dim)
    torch.testing.assert_close(found, module.inv_freq, rtol=1e-6, atol=0)
    assert scale == pytest.approx(module.attention_scaling)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotation_bit_for_bit(dtype: torch.dtype) -> None:
    query, key = (torch.randn(1, heads, 50, 64, dtype=dtype) for heads in (4, 2))
    cosine, sine = theirs({"rope_type": "default"}, 64)(query, torch.arange(7, 57)[None])
    rope = Rope(RopeConfig(5e5), 64)
    for found, expected in zip((rope.apply(query, 7), rope.apply(key, 7)), apply_rotary_pos_emb(
        query, key, cosine, sine
    ), strict=True):  # fmt: skip
        assert torch.equal(found, expected)


@pytest.mark.parametrize(("config", "parameters"), CASES)
def test_rotation(config: RopeConfig, parameters: dict[str, Any]) -> None:
    x = torch.randn(1, 2, 50, 64, generator=torch.Generator().manual_seed(0))
    cosine, sine = theirs(parameters, 64)(x, torch.arange(7, 57)[None])
    expected, _ = apply_rotary_pos_emb(x, x, cosine, sine)
    torch.testing.assert_close(Rope(config, 64).apply(x, 7), expected, atol=3e-5, rtol=1e-5)


def test_all_ways_to_apply_it_agree() -> None:
    x = torch.randn(2, 3, 24, 16)
    rope = Rope(RopeConfig(1000.0), 16)
    expected = rope.apply(x, 40)
    positions = torch.arange(40, 64)
    torch.testing.assert_close(rope.apply_at(x, positions, 64), expected)
    blocks = torch.arange(10, 16).expand(2, 3, 6)
    torch.testing.assert_close(rope.apply_to_blocks(x, blocks, 4, torch.empty_like(x)), expected)
    torch.testing.assert_close(rope.apply_at(x[:, :, :1], 40, 41), expected[:, :, :1])
    place = x.clone()
    rope.apply_in_place(place, positions)
    torch.testing.assert_close(place, expected)
    cosine, sine = rope.tables(64, x)
    first, second = x.chunk(2, -1)
    cosine, sine = cosine[40:64], sine[40:64]
    torch.testing.assert_close(torch.cat((first * cosine - second * sine, second * cosine + first * sine), 3), expected)


def test_scaled_positions_are_not_stretched_again() -> None:
    with pytest.raises(ValueError, match="already scaled"):
        RopeConfig(1e4, "linear", 2.0).stretched(Yarn(2, 100))
    assert RopeConfig(1e4, "linear", 2.0).stretched(None) == RopeConfig(1e4, "linear", 2.0)
