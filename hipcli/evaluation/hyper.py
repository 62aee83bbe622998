"""HyperAttention: keys in the query's bucket of a locality-sensitive hash, and a sample that stands for the others.

Han et al., arXiv 2310.05869, algorithms 1 and 3. Here every row also sees sink and window exactly, as all methods do;
half of `top_k` goes to the bucket and half to the sample. `block_q`, `block_k` and `refresh_interval` do not apply.
"""

import math

import torch
from hip_attention.config import HipConfig
from torch import Tensor

from hipcli.evaluation.baselines import dense_start

BITS = 8
ROWS = 256  # rows that share one set of far keys: those before the window of the first of them


def attention(query: Tensor, key: Tensor, value: Tensor, config: HipConfig, scale: float) -> Tensor:
    """query [B, Hq, Tq, D] at the end of key and value [B, Hkv, Tk, D]; returns [B, Hq, Tq, D]. Memory is O(Tk)."""
    length_q, length_k = query.shape[2], key.shape[2]
    offset = length_k - length_q
    output, start = dense_start(query, key, value, config, scale)
    group = query.shape[1] // key.shape[1]
    query_code, key_code = codes(query), codes(key)
    while start < length_q:
        # At absolute multiples of ROWS, so that a prompt can be read in any chunks.
        stop = min(length_q, (offset + start) // ROWS * ROWS + ROWS - offset)
        seen = offset + stop
        bias = far_bias(query_code[:, :, start:stop], key_code[:, :, :seen], offset + start, config)
        keys, values = (x[:, :, :seen].repeat_interleave(group, 1) for x in (key, value))
        output[:, :, start:stop] = torch.nn.functional.scaled_dot_product_attention(
            query[:, :, start:stop], keys, values, attn_mask=bias.to(query.dtype), scale=scale
        )
        start = stop
    return output


def codes(x: Tensor) -> Tensor:
    """Bucket numbers int64 [B, H, T] in [0, 2 ** BITS) of x [B, H, T, D]; neighbours differ at one hyperplane."""
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(x.shape[3], BITS, generator=generator).to(x)
    binary = (x @ planes > 0).long()
    # From Gray code to its place in the sequence: each bit is the parity of those before it.
    place = binary.cumsum(3) % 2
    return (place << torch.arange(BITS - 1, -1, -1, device=x.device)).sum(3)


def far_bias(query_code: Tensor, key_code: Tensor, first: int, config: HipConfig) -> Tensor:
    """What is added to logits: 0 for keys that are seen, the log of a sampled key's weight, minus infinity elsewhere.

    query_code [B, Hq, rows] for rows from position `first` on, key_code [B, Hkv, seen]; returns fp32
    [B, Hq, rows, seen].
    """
    batch, heads, rows = query_code.shape
    heads_k, seen = key_code.shape[1:]
    begin, stop = config.sink, max(config.sink, first - config.window + 1)
    bias = torch.full((batch, heads, rows, seen), -math.inf, device=key_code.device)
    bias[..., :begin] = 0
    position = first + torch.arange(rows, device=key_code.device)
    recent = torch.arange(stop, seen, device=key_code.device) <= position[:, None]
    bias[..., stop:].masked_fill_(recent, 0)
    far, size = stop - begin, max(1, config.top_k // 2)
    if far <= config.top_k:
        bias[..., begin:stop] = 0
        return bias
    if not config.top_k:
        return bias
    ordered, order = key_code[:, :, begin:stop].sort(dim=2, stable=True)
    rank = torch.empty_like(order).scatter_(2, order, torch.arange(far, device=order.device).expand_as(order))
    grouped = query_code.reshape(batch, heads_k, -1)
    edges = [torch.searchsorted(ordered, grouped, right=side) for side in (False, True)]
    bucket = (edges[0] + edges[1]).div(2, rounding_mode="floor").clamp(max=far - 1) // size
    same = bucket.view(batch, heads_k, -1, rows, 1) == (rank // size)[:, :, None, None]
    sample = torch.randperm(far, generator=torch.Generator().manual_seed(first))[: config.top_k - size]
    bias[..., begin + sample.to(bias.device)] = math.log(far / len(sample))
    bias[..., begin:stop].masked_fill_(same.view(batch, heads, rows, far), 0)
    return bias
