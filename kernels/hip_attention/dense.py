"""Exact causal attention of queries that stand at the end of the keys."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right

ROWS = 512
FLASH = "_scaled_dot_product_flash_attention_for_cpu"


def dense_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """query [B, Hq, Tq, D], key and value [B, Hkv, Tk, D] with Tq <= Tk; returns [B, Hq, Tq, D].

    Peak memory beyond the output is O(Tk): on a CPU a mask of 512 rows at a time.
    """
    length_q, length_k = query.shape[2], key.shape[2]
    if length_q == 1:
        return _single(query, key, value, scale)
    if length_q == length_k:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
    if query.is_cuda:
        causal = causal_lower_right(length_q, length_k)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=causal, scale=scale, enable_gqa=True)
    if query.device.type == "cpu" and hasattr(torch.ops.aten, FLASH):
        return _merged(query, key, value, scale)
    output = query.new_empty(*query.shape[:3], value.shape[-1])
    for start in range(0, length_q, ROWS):
        stop = min(start + ROWS, length_q)
        rows, seen = stop - start, length_k - length_q + stop
        mask = query.new_zeros(rows, seen)
        mask[:, seen - rows :].fill_(float("-inf")).triu_(1)
        part, keys, values = query[:, :, start:stop], key[:, :, :seen], value[:, :, :seen]
        output[:, :, start:stop] = F.scaled_dot_product_attention(
            part, keys, values, attn_mask=mask, scale=scale, enable_gqa=True
        )
    return output


def _merged(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attention to the past and to the queries' own keys apart, weighed by the sums of their exponentials.

    Without a mask the CPU kernel is a quarter faster, and half of the last square is never computed. To the past the
    heads of a KV group are rows of one problem.
    """
    batch, heads, length_q, dim = query.shape
    heads_k, past = key.shape[1], key.shape[2] - length_q
    flash = getattr(torch.ops.aten, FLASH)
    grouped = query.reshape(batch, heads_k, -1, dim)
    old, old_sum = flash(grouped, key[:, :, :past], value[:, :, :past], scale=scale)
    own_key, own_value = (x[:, :, past:].repeat_interleave(heads // heads_k, 1) for x in (key, value))
    own, own_sum = flash(query, own_key, own_value, is_causal=True, scale=scale)
    share = torch.sigmoid(old_sum.reshape(own_sum.shape) - own_sum)
    return torch.lerp(own, old.reshape(own.shape), share[..., None].to(own.dtype))


def _single(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """One query row: the heads of a KV group become rows, which reads every key once and not once a head."""
    grouped = query.view(query.shape[0], key.shape[1], -1, query.shape[-1])
    return F.scaled_dot_product_attention(grouped, key, value, scale=scale).view(*query.shape[:3], value.shape[-1])
