"""The queries, keys and values that attention is measured on."""

from dataclasses import dataclass

import torch
from torch import Tensor

SEGMENT = 64  # tokens; planted data is made in segments of this length


@dataclass(frozen=True)
class Shape:
    """The shape of one attention layer: query heads, KV heads and head dimension."""

    heads: int = 32
    heads_k: int = 8
    dim: int = 128


def make_data(kind: str, length: int, shape: Shape, device: str = "cuda") -> tuple[Tensor, Tensor, Tensor]:
    """Query [1, heads, length, dim], key and value [1, heads_k, length, dim] in bfloat16.

    `kind` is "random", all numbers normally distributed, or "planted": random numbers, and in every KV head each
    segment of 64 keys has one random vector added to all of its keys. Each segment of 64 queries has the vector of one
    earlier segment of keys added, so that it should attend to these; `target_segments` tells which.
    """
    generator = torch.Generator(device=device).manual_seed(length)

    def draw(heads: int) -> Tensor:
        return torch.randn(1, heads, length, shape.dim, generator=generator, device=device, dtype=torch.bfloat16)

    query, key, value = draw(shape.heads), draw(shape.heads_k), draw(shape.heads_k)
    if kind == "planted":
        segments = -(-length // SEGMENT)
        topics = torch.randn(
            1, shape.heads_k, segments, shape.dim, generator=generator, device=device, dtype=torch.bfloat16
        )
        target = target_segments(length, device)
        group = shape.heads // shape.heads_k
        for h in range(shape.heads_k):  # one head at a time: with a million tokens there is no memory for larger copies
            key[:, h] += topics[:, h].repeat_interleave(SEGMENT, 1)[:, :length]
            wanted = topics[:, h, target].repeat_interleave(SEGMENT, 1)[:, :length]
            query[:, h * group : (h + 1) * group] += wanted[:, None]
    return query, key, value


def target_segments(length: int, device: str) -> Tensor:
    """For each segment of 64 queries of planted data the segment of keys it should attend to: int64 [segments]."""
    segments = torch.arange(-(-length // SEGMENT), device=device)
    return segments * 40503 % 65536 * segments // 65536
