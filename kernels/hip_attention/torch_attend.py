"""Block-sparse attention in PyTorch: gather each query block's keys into a small buffer and call SDPA on it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hip_attention.geometry import Slab
from hip_attention.rotary import Rotary

WORKING_SET = 5 << 20


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor | None,
    slab: Slab,
    output: Tensor,
    *,
    scale: float,
    sink: int,
    window: int,
    block_k: int,
    block_q: int = 1,
    rotary: Rotary | None = None,
) -> None:
    """Attention over sink, selected and window keys for the rows of `slab`, written into `output` [B, Hq, Tq, D].

    query [B, Hq, Tq, D]; key and value [B, Hkv, capacity, D], each with its own capacity, a multiple of block_k, and
    finite throughout; blocks int64 [B, Hq, slab.blocks, K], ascending, none in the sink, or None for sink and window
    alone, which the heads of a KV group then share. Every row of the slab must see the whole sink, which the slabs from
    geometry.sparse_start on do.

    With `rotary` keys are yet to be rotated, to packed positions: their places in the row of gathered keys. Its
    window part begins where that of the whole query block of `block_q` does, of which a slab may hold the last rows.

    What is gathered at a time fits the processor's second-level cache, from which SDPA runs twice as fast.
    """
    batch, heads_k, _, dim = key.shape
    heads = heads_k if blocks is None else query.shape[1]
    group = query.shape[1] // heads
    oldest = slab.first // block_q * block_q - window + 1
    window_blocks = (slab.first + slab.rows - 1) // block_k - oldest // block_k + 1
    selected = 0 if blocks is None else blocks.shape[3]
    width = sink // block_k + selected + window_blocks
    per_part = max(1, WORKING_SET // (2 * batch * heads * width * block_k * dim * key.element_size()))
    key_blocks, value_blocks = key.view(-1, block_k * dim), value.view(-1, block_k * value.shape[3])
    owner = torch.arange(batch * heads, device=query.device).view(batch, heads, 1, 1) * heads_k // heads
    key_base, value_base = (owner * (x.shape[2] // block_k) for x in (key, value))  # first block of a head's KV head

    mask, masked = None, False
    for part in slab.split(per_part):
        n, rows = part.blocks, part.rows
        first = torch.arange(part.first, part.first + n * rows, rows, device=query.device)  # [n]
        recent = (first + rows - 1)[:, None] // block_k + torch.arange(1 - window_blocks, 1, device=query.device)
        ids = [torch.arange(sink // block_k, device=query.device).expand(batch, heads, n, -1)]
        if blocks is not None:
            done = (part.start - slab.start) // rows
            ids.append(blocks[:, :, done : done + n])
        ids.append(recent.clamp(min=0).expand(batch, heads, n, -1))
        index = torch.cat(ids, 3)
        keys = key_blocks.index_select(0, (key_base + index).flatten()).view(-1, 1, width * block_k, dim)
        if rotary is not None:
            rotary.rotate_columns(keys)
        values = value_blocks.index_select(0, (value_base + index).flatten())
        values = values.view(-1, 1, width * block_k, value.shape[3])

        position = first[:, None] + torch.arange(rows, device=query.device)  # [n, rows]
        reaches_sink = part.first - window + 1 < sink
        if mask is None or mask.shape[2] != n or masked:
            mask = query.new_zeros(batch, heads, n, group, rows, width * block_k)
            hidden = _outside_window(recent, position, sink, window, block_k)
            mask[..., -window_blocks * block_k :].masked_fill_(hidden[:, None], -math.inf)
        masked = reaches_sink
        if blocks is not None:
            _hide_window_keys(mask, ids[1], position, sink, window, block_k)

        queries = query[:, :, part.start : part.stop].unflatten(1, (heads, group)).unflatten(3, (n, rows))
        queries = queries.permute(0, 1, 3, 2, 4, 5).reshape(-1, 1, group * rows, dim)
        result = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask.view(-1, 1, group * rows, width * block_k), scale=scale
        )
        result = result.view(batch, heads, n, group, rows, -1).permute(0, 1, 3, 2, 4, 5)
        output[:, :, part.start : part.stop] = result.reshape(batch, heads * group, n * rows, -1)


def _token_positions(blocks: Tensor, block_k: int) -> Tensor:
    """Positions [..., blocks * block_k] of the keys in blocks [..., blocks]."""
    return (blocks[..., None] * block_k + torch.arange(block_k, device=blocks.device)).flatten(-2)


def _outside_window(recent: Tensor, position: Tensor, sink: int, window: int, block_k: int) -> Tensor:
    """Which keys of the last blocks [n, blocks] rows [n, rows] must not see as window keys: bool [n, rows, keys].

    Keys of the sink are hidden here because the sink's own columns hold them.
    """
    key = _token_positions(recent, block_k)[:, None]
    row = position[:, :, None]
    return (key <= row - window) | (key > row) | (key < sink)


def _hide_window_keys(mask: Tensor, selected: Tensor, position: Tensor, sink: int, window: int, block_k: int) -> None:
    """Hide, in the columns of the selected blocks [B, H, n, K], the keys that are in a row's window already.

    mask [B, H, n, g, rows, keys], position [n, rows]. Blocks are ascending, so only the last few can hold such keys.
    """
    last = min(selected.shape[3], (position.shape[1] - 1) // block_k + 2)
    stop = sink + selected.shape[3] * block_k
    columns = mask[..., stop - last * block_k : stop]
    key = _token_positions(selected[..., -last:], block_k)[:, :, :, None]  # [B, H, n, 1, keys]
    hidden = key > (position - window)[:, :, None]
    columns.zero_().masked_fill_(hidden[:, :, :, None], -math.inf)
