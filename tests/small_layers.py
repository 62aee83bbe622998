"""Queries, keys and values of one small layer, rotary positions for them, and how a LayerCache reads them."""

import torch
from hip_attention.cache import LayerCache
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


def feed(cache: LayerCache, query: Tensor, key: Tensor, value: Tensor, start: int, stop: int) -> Tensor:
    cache.append(key[:, :, start:stop], value[:, :, start:stop])
    return cache.attend(query[:, :, start:stop], 0.25)
