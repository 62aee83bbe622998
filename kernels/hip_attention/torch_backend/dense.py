"""Exact causal attention of queries at the last positions of the keys."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 512
TILE = 2048
# Time per row of an attention call with several rows, relative to a call with one: measured with 2 threads, 3 to 8
# rows.
ROW_FLOAT32, ROW_16_BITS = 0.45, 0.85
FLASH = "_scaled_dot_product_flash_attention_for_cpu"


def dense_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """query [B, Hq, Tq, D], key and value [B, Hkv, Tk, D] with Tq <= Tk; returns [B, Hq, Tq, D].

    Peak memory beyond the output is O(Tk). On a CPU a row's result does not depend on the rows beside it, bit for bit,
    so that a prompt can be read in any chunks.
    """
    length_q, length_k = query.shape[2], key.shape[2]
    if length_q == 1:
        return _single(query, key, value, scale)
    if has_flash(query, value):
        return _tiled(query, key, value, scale)
    if length_q == length_k:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
    if query.is_cuda:
        # Here, because it takes most of a second to import.
        from torch.nn.attention.bias import causal_lower_right

        causal = causal_lower_right(length_q, length_k)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=causal, scale=scale, enable_gqa=True)
    return _masked(query, key, value, scale)


def has_flash(query: Tensor, value: Tensor) -> bool:
    """Whether `flash` serves queries and values [..., D]."""
    return query.device.type == "cpu" and hasattr(torch.ops.aten, FLASH) and query.shape[-1] == value.shape[-1]


def flash(
    query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None = None, *, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Attention [B, H, Tq, D], and the logsumexp [B, H, Tq] of its logits.

    key and value [B, H, Tk, D]; `mask` is added to the logits; `causal` needs Tq = Tk and no mask. The operator is part
    of PyTorch, but not of its public interface; where it cannot be used, all logits are kept in memory. Without keys
    the results are zeros and minus infinity.
    """
    if has_flash(query, value) and key.shape[2] > 0:  # without keys the operator crashes the process
        result, sums = getattr(torch.ops.aten, FLASH)(query, key, value, is_causal=causal, attn_mask=mask, scale=scale)
        return result, sums
    if causal:
        mask = _causal_mask(query, query.shape[2], key.shape[2])
    logits = (query @ key.transpose(2, 3)).float() * scale
    if mask is not None:
        logits += mask
    return logits.softmax(-1).to(value.dtype) @ value, logits.logsumexp(-1)


def flash_by_group(
    query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`flash` for query [B, Hq, Tq, D], and key and value [B, Hkv, Tk, D].

    The query heads of a GQA group are batched as rows of one attention call, and share the `mask` [B, Hkv, 1, Tk].
    """
    grouped = query.reshape(query.shape[0], key.shape[1], -1, query.shape[3])
    result, sums = flash(grouped, key, value, scale, mask)
    return result.reshape(*query.shape[:3], -1), sums.reshape(query.shape[:3])


def flash_row(
    query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`flash` for query [B, Hq, 1, D], key and value [B, Hkv, Tk, D], and mask [B, Hkv, 1, Tk].

    The query heads of a GQA group are batched as rows of one attention call, or, where that is slower, read their keys
    one after the other, from the CPU's cache.
    """
    if _batches_group(query, key):
        return flash_by_group(query, key, value, scale, mask)
    group = query.shape[1] // key.shape[1]
    rows = query.reshape(-1, group, 1, query.shape[3])
    keys, values = (x.flatten(0, 1)[:, None].expand(-1, group, -1, -1) for x in (key, value))
    result, sums = flash(rows, keys, values, scale, None if mask is None else mask.flatten(0, 1)[:, None])
    return result.reshape(*query.shape[:3], -1), sums.reshape(query.shape[:3])


def _batches_group(query: Tensor, key: Tensor) -> bool:
    """Whether a single row is faster with one attention call per KV head than with one per query head.

    More calls keep threads busier, because the operator gives every thread whole calls.
    """
    heads, heads_k, threads = query.shape[:2].numel(), key.shape[:2].numel(), torch.get_num_threads()
    row = ROW_FLOAT32 if query.dtype is torch.float32 else ROW_16_BITS
    return -(-heads_k // threads) * (heads // heads_k) * row < -(-heads // threads)


def merge(first: Tensor, first_sum: Tensor, second: Tensor, second_sum: Tensor) -> Tensor:
    """Attention [..., T, D] to all keys, from the results and logsumexps of `flash` for two disjoint parts of them."""
    share = torch.sigmoid(second_sum - first_sum)
    return torch.lerp(first, second, share[..., None].to(first.dtype))


def _single(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """One query row: the heads of a GQA group become rows, so that every key is read once, not once per head."""
    grouped = query.reshape(query.shape[0], key.shape[1], -1, query.shape[-1])
    return F.scaled_dot_product_attention(grouped, key, value, scale=scale).reshape(*query.shape[:3], -1)


def _masked(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attention with an explicit mask, a few hundred rows at a time."""
    length_q, length_k = query.shape[2], key.shape[2]
    output = query.new_empty(*query.shape[:3], value.shape[-1])
    for start in range(0, length_q, ROWS):
        stop = min(start + ROWS, length_q)
        seen = length_k - length_q + stop
        mask = _causal_mask(query, stop - start, seen)
        part, keys, values = query[:, :, start:stop], key[:, :, :seen], value[:, :, :seen]
        output[:, :, start:stop] = F.scaled_dot_product_attention(
            part, keys, values, attn_mask=mask, scale=scale, enable_gqa=True
        )
    return output


def _tiled(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Tiles of rows at absolute multiples of TILE, each attending to its past without a mask and to its own tile."""
    length_q, length_k = query.shape[2], key.shape[2]
    offset, start = length_k - length_q, 0
    output = query.new_empty(*query.shape[:3], value.shape[-1])
    while start < length_q:
        past = (offset + start) // TILE * TILE
        stop = min(length_q, past + TILE - offset)
        seen = offset + stop
        part = _tile(query[:, :, start:stop], key[:, :, :seen], value[:, :, :seen], past, scale)
        output[:, :, start:stop] = part
        start = stop
    return output


def _tile(query: Tensor, key: Tensor, value: Tensor, past: int, scale: float) -> Tensor:
    """Attention to keys before `past` and to the others separately, merged by their logsumexps.

    The CPU kernel is a quarter faster without a mask. For keys before `past`, query heads of a GQA group are batched as
    rows of one attention call.
    """
    heads, rows = query.shape[1:3]
    own_key, own_value = (x[:, :, past:].repeat_interleave(heads // x.shape[1], 1) for x in (key, value))
    mask = None if own_key.shape[2] == rows else _causal_mask(query, rows, own_key.shape[2])
    own, own_sum = flash(query, own_key, own_value, scale, mask, causal=mask is None)
    if past == 0:
        return own
    return merge(own, own_sum, *flash_by_group(query, key[:, :, :past], value[:, :, :past], scale))


def _causal_mask(like: Tensor, rows: int, length: int) -> Tensor:
    """Additive mask [rows, length] of rows that stand at the end of `length` keys."""
    mask = like.new_zeros(rows, length)
    mask[:, length - rows :].fill_(-math.inf).triu_(1)
    return mask
