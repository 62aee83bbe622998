"""Sparse attention as one function of tensors, and the parts of it that a cache layer calls."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hip_attention.backend import Summaries, make_summaries, search_start, uses_triton
from hip_attention.config import HipConfig
from hip_attention.plan import slabs
from hip_attention.rope import Rope
from hip_attention.torch_backend import attend as torch_attend
from hip_attention.torch_backend import select as torch_select
from hip_attention.torch_backend.dense import dense_attention
from hip_attention.torch_backend.summaries import KeySummaries

NEEDS_ROPE = "packed positions need keys before RoPE: attend through a cache that applies RoPE"
DENSE_HEADS = 4  # KV heads that are attended to densely at a time: bounds the memory for results


@dataclass(frozen=True)
class Unrotated:
    """Inputs of selection by content, from a cache that holds keys before RoPE.

    The search compares query [B, Hq, Tq, D] with key [B, Hkv, capacity, D] before RoPE. Rows attend to keys after
    `rope` is applied, at true or `packed` positions. `recent` holds the window keys of packed rows.
    """

    query: Tensor
    key: Tensor
    rope: Rope
    packed: bool
    recent: torch_attend.Recent | None = None


def attention(
    query: Tensor, key: Tensor, value: Tensor, config: HipConfig | None = None, *, scale: float | None = None
) -> Tensor:
    """HiP attention of queries at the last positions of the keys (in prefill, at once or in chunks, and in decode).

    query [B, Hq, Tq, D]; key and value [B, Hkv, Tk, D] with Tq <= Tk and Hq a multiple of Hkv (KV heads are not
    repeated in memory); all of one floating dtype. `scale` multiplies the logits and defaults to D ** -0.5.
    Returns [B, Hq, Tq, D]. Raises ValueError for shapes that do not fit together, and if `packed_from` is set.
    """
    config = config or HipConfig()
    if config.packed_from is not None:
        raise ValueError(NEEDS_ROPE)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    _check(query, key, value)
    length_q, length_k = query.shape[2], key.shape[2]
    start = search_start(length_q, length_k, config, query.device)
    if config.backend == "dense" or start == length_q:
        return dense_attention(query, key, value, scale)
    padded_key, padded_value = key, value
    if not uses_triton(config, query.device):
        padding = -length_k % config.block_k
        padded_key, padded_value = (torch.nn.functional.pad(x, (0, 0, 0, padding)).contiguous() for x in (key, value))
    summaries = None
    if config.uses_summaries:
        summaries = make_summaries(config, query.device)
        summaries.extend(key[:, :, config.sink :])
    return prefill(query, padded_key, padded_value, length_k, summaries, config, scale)


def prefill(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    length_k: int,
    summaries: Summaries | None,
    config: HipConfig,
    scale: float,
    unrotated: Unrotated | None = None,
    coming: int = 0,
) -> Tensor:
    """Dense attention for the rows before `search_start`, sparse attention for the others.

    key and value [B, Hkv, capacity, D] hold `length_k` keys; for the torch backend capacity is a multiple of block_k,
    and memory beyond the keys is finite. `summaries` cover every complete block if the selector needs them. With
    `unrotated`, selection is by content. `coming` rows will follow in later calls. Returns [B, Hq, Tq, D].
    """
    length_q = query.shape[2]
    start = search_start(length_q, length_k, config, query.device, coming)
    output = query.new_empty(*query.shape[:3], value.shape[-1])
    if start > 0:
        seen = length_k - length_q + start
        group = query.shape[1] // key.shape[1]
        for head in range(0, key.shape[1], DENSE_HEADS):
            part = slice(head, head + DENSE_HEADS)
            rows = query[:, head * group : (head + DENSE_HEADS) * group, :start]
            output[:, head * group : (head + DENSE_HEADS) * group, :start] = dense_attention(
                rows, key[:, part, :seen], value[:, part, :seen], scale
            )
    if start < length_q:
        sparse_rows(query, key, value, start, length_k, summaries, config, scale, output, unrotated)
    return output


def sparse_rows(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    start: int,
    length_k: int,
    summaries: Summaries | None,
    config: HipConfig,
    scale: float,
    output: Tensor,
    unrotated: Unrotated | None = None,
) -> None:
    """Write sparse attention of the rows from `start` on, which have more to search than they may select, to `output`.

    Arguments are those of `prefill`. RoPE has been applied to `query` at the positions that its rows attend at. Packed
    rows read `unrotated.key` instead of `key`.
    """
    if uses_triton(config, query.device):
        from hip_attention.triton_backend import prefill as triton_prefill

        if unrotated is None:
            triton_prefill.prefill(query, key, value, start, length_k, summaries, config, scale, output)
        else:
            positions = config.packed_length if unrotated.packed else length_k
            tables = unrotated.rope.tables(positions, query)
            triton_prefill.prefill(
                query, unrotated.key, value, start, length_k, summaries, config, scale, output,
                search_query=unrotated.query, tables=tables, packed=unrotated.packed,
            )  # fmt: skip
        return
    assert summaries is None or isinstance(summaries, KeySummaries)
    searched, search_key, block_q, rope, recent = query, key, 1, None, None
    if unrotated is not None:
        searched, search_key = unrotated.query, unrotated.key
        if unrotated.packed:
            key, block_q, rope, recent = unrotated.key, config.block_q, unrotated.rope, unrotated.recent
    for slab in slabs(start, query.shape[2], length_k, config.block_q):
        blocks = torch_select.select(searched, slab, config, summaries, search_key) if config.top_k else None
        torch_attend.attend(
            query, key, value, blocks, slab, output, scale=scale,
            sink=config.sink, window=config.window, block_k=config.block_k, block_q=block_q, rope=rope,
            recent=recent, padded=config.select_always,
        )  # fmt: skip


def sliding_attention(
    query: Tensor, key: Tensor, value: Tensor, window: int, config: HipConfig, scale: float
) -> Tensor:
    """Exact attention to the last `window` keys, as sliding-window layers define it: p - window < key <= p.

    query [B, Hq, Tq, D], key and value [B, Hkv, Tk, D]. Returns [B, Hq, Tq, D].
    """
    length_q, length_k = query.shape[2], key.shape[2]
    if length_k <= window:
        return dense_attention(query, key, value, scale)
    if uses_triton(config, query.device):
        from hip_attention.triton_backend import prefill as triton_prefill

        return triton_prefill.sliding(query, key, value, window, config, scale)
    seen = min(length_k, length_q + window - 1)
    start = (length_k - seen) // config.block_k * config.block_k
    padding = -(length_k - start) % config.block_k
    key, value = (torch.nn.functional.pad(x[:, :, start:], (0, 0, 0, padding)).contiguous() for x in (key, value))
    output = query.new_empty(*query.shape[:3], value.shape[-1])
    for slab in slabs(0, length_q, length_k - start, config.block_q):
        torch_attend.attend(
            query, key, value, None, slab, output, scale=scale, sink=0, window=window, block_k=config.block_k
        )
    return output


def _check(query: Tensor, key: Tensor, value: Tensor) -> None:
    if not query.dim() == key.dim() == value.dim() == 4:
        raise ValueError("query, key and value must have four dimensions: batch, heads, tokens, head_dim")
    if key.shape[:3] != value.shape[:3]:
        raise ValueError(f"key {tuple(key.shape)} and value {tuple(value.shape)} differ in batch, heads or tokens")
    if query.shape[0] != key.shape[0] or query.shape[3] != key.shape[3]:
        raise ValueError(f"query {tuple(query.shape)} and key {tuple(key.shape)} differ in batch or head_dim")
    if query.shape[1] % key.shape[1]:
        raise ValueError(f"{query.shape[1]} query heads cannot share {key.shape[1]} KV heads evenly")
    if query.shape[2] > key.shape[2]:
        raise ValueError(f"{query.shape[2]} queries cannot stand at the end of {key.shape[2]} keys")
    if not query.dtype == key.dtype == value.dtype:
        raise ValueError(f"dtypes differ: query {query.dtype}, key {key.dtype}, value {value.dtype}")
