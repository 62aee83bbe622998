"""Errors of sparse attention on sampled queries, and whether it selects the keys that planted data asks for."""

import math
import statistics

import torch
from hip_attention.config import HipConfig
from hip_attention.plan import searchable_blocks, sparse_start
from hip_attention.triton_backend.select import select
from hip_attention.triton_backend.summaries import TreeSummaries
from torch import Tensor

from hipcli.benchmark.data import SEGMENT, target_segments


def sampled_errors(query: Tensor, key: Tensor, value: Tensor, output: Tensor, config: HipConfig) -> tuple[float, float]:
    """Relative errors of `output`, on sampled queries and heads, against attention in float32.

    First the largest error against attention over the same keys, then the mean error against attention over all keys.
    """
    heads, group = query.shape[1], query.shape[1] // key.shape[1]
    same: list[float] = []
    dense: list[float] = []
    for position in _sample(key.shape[2], config):
        blocks = _blocks_of(query, key, position, config)
        token = torch.arange(position + 1, device=query.device)
        old = token <= position - config.window
        for h in range(0, heads, group + 1):
            seen = ~old | (token < config.sink) | torch.isin(token // config.block_k, blocks[h])
            logits = key[0, h // group, : position + 1].float() @ query[0, h, position].float()
            logits *= query.shape[3] ** -0.5
            values = value[0, h // group, : position + 1].float()
            found = output[0, h, position].float()
            for mask, errors in ((seen, same), (torch.ones_like(seen), dense)):
                exact = logits.masked_fill(~mask, -math.inf).softmax(0) @ values
                errors.append(((found - exact).norm() / exact.norm()).item())
    return max(same), statistics.mean(dense)


def share_found(query: Tensor, key: Tensor, config: HipConfig) -> float:
    """The share of sampled query blocks and heads of planted data that selected all keys of their target segment.

    NaN if no sampled block has a target segment among the keys it can select.
    """
    target = target_segments(key.shape[2], "cuda")
    hits = []
    per_segment = SEGMENT // config.block_k
    for position in _sample(key.shape[2], config, 32):
        blocks = _blocks_of(query, key, position, config)
        begin = position // config.block_q * config.block_q
        low = config.sink // config.block_k
        high = low + searchable_blocks(begin + config.block_q - 1, config.sink, config.window, config.block_k)
        for segment in target[begin // SEGMENT : (begin + config.block_q) // SEGMENT].tolist():
            wanted = torch.arange(segment * per_segment, (segment + 1) * per_segment, device="cuda")
            if wanted[0] < low or wanted[-1] >= high:
                continue
            hits.append((blocks[:, :, None] == wanted).any(1).all(1).float().mean().item())
    return statistics.mean(hits) if hits else math.nan


def _sample(length: int, config: HipConfig, count: int = 8) -> list[int]:
    """`count` positions, evenly spaced over the part of a prompt where attention is sparse."""
    start = sparse_start(length, length, config)
    return [start + (length - 1 - start) * i // (count - 1) for i in range(count)]


def _blocks_of(query: Tensor, key: Tensor, position: int, config: HipConfig) -> Tensor:
    """The key blocks selected for the query block that contains `position`: int64 [query heads, selected blocks]."""
    stop = min(key.shape[2], (position // config.block_q + 1) * config.block_q)
    summaries = TreeSummaries(config.sink, config.block_k)
    if config.uses_summaries:
        summaries.extend(key[:, :, config.sink : stop])
    begin = position // config.block_q * config.block_q
    return select(query[:, :, begin:stop], begin, 1, stop, config, summaries, key)[0, :, 0].long()
