"""Queries, keys and values of one small layer, RoPE for them, and how a LayerCache reads them."""

import torch
from hip_attention import HipConfig, reference
from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import Step
from hip_attention.rope import Rope
from hip_attention.rope_config import RopeConfig
from torch import Tensor


def tensors(
    length: int, batch: int = 1, heads: int = 4, heads_k: int = 2, dim: int = 16, seed: int = 1
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, h, length, dim, generator=generator) for h in (heads, heads_k, heads_k)]


def tables(positions: Tensor) -> tuple[Tensor, Tensor]:
    angles = positions[..., None] * 1000.0 ** -(torch.arange(0, 16, 2) / 16)
    angles = torch.cat((angles, angles), -1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    cosine, sine = tables(positions)
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat((-second, first), -1) * sine


def small_rope() -> Rope:
    """What `rotate` does, as a cache does it."""
    return Rope(RopeConfig(theta=1000.0), 16)


def feed(
    cache: LayerCache, query: Tensor, key: Tensor, value: Tensor, start: int, stop: int, question: bool = False
) -> Tensor:
    """Attention of rows [start, stop), whose keys and values are stored first."""
    rows = (x[:, :, start:stop] for x in (query, key, value))
    return cache.attend(*rows, Step(start, stop - start, question), scale=0.25)


def assert_chunks_equal_reference(config: HipConfig, length: int, chunk: int, **shape: int) -> None:
    query, key, value = tensors(length, **shape)
    cache = LayerCache(config, rope=small_rope())
    for start in range(0, length, chunk):
        stop = min(start + chunk, length)
        out = feed(cache, query, key, value, start, stop)
        rows = query[:, :, start:stop], key[:, :, :stop], value[:, :, :stop]
        expected = reference.attention(*rows, config, 0.25, rotate)
        torch.testing.assert_close(out, expected, atol=4e-6, rtol=1e-5)


def assert_question_equals_reference(config: HipConfig, length: int, rows: int, **shape: int) -> None:
    query, key, value = tensors(length, **shape)
    cache = LayerCache(config, rope=small_rope())
    feed(cache, query, key, value, 0, length - rows)
    out = feed(cache, query, key, value, length - rows, length, question=True)
    expected = reference.attention(query[:, :, -rows:], key, value, config.of_question, 0.25, rotate)
    torch.testing.assert_close(out, expected, atol=4e-6, rtol=1e-5)


def assert_decode_equals_reference(config: HipConfig, start: int, length: int, **shape: int) -> None:
    """From before the border to packed positions; values are less wide than keys if `dim_v` says so."""
    dim_v = shape.pop("dim_v", 16)
    query, key, value = tensors(length, **shape)
    value = value[..., :dim_v].contiguous()
    cache = LayerCache(config, rope=small_rope())
    feed(cache, query, key, value, 0, start)
    blocks, age, packed = torch.empty(0), 0, False
    for now in range(start, length):
        out = feed(cache, query, key, value, now, now + 1)
        row, keys, values = query[:, :, now : now + 1], key[:, :, : now + 1], value[:, :, : now + 1]
        exact = not reference.is_packed(now, config)
        if packed == exact or (exact and now < max(config.min_context, config.visible_keys)):
            packed, age = not exact, 0
        if age == 0:
            blocks = reference.select(reference.search_query(row, config, rotate), keys, config.of_decode)
        expected = reference.attend(row, keys, values, blocks, config, 0.25, age, rotate)
        torch.testing.assert_close(out, expected, atol=4e-6, rtol=1e-5)
        age = (age + 1) % config.refresh_interval
    assert packed
