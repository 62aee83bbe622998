"""Block-sparse attention in PyTorch: gather each query block's keys into a small buffer and call SDPA on it.

The middle of a long window, which all rows of a query block see, is attended to in place.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hip_attention.plan import Slab
from hip_attention.rope import Rope
from hip_attention.torch_backend.dense import flash, flash_by_group, has_flash, merge

WORKING_SET = 5 << 20
LONG_MIDDLE = 1024  # keys; attending to fewer in place takes as long as gathering them


class Recent(NamedTuple):
    """Rows and their window keys at true positions; distances between them are the same as at packed positions.

    query [B, Hq, Tq, D]; key [B, Hkv, T, D], the first of which stands at position `start`.
    """

    query: Tensor
    key: Tensor
    start: int


def is_split(query: Tensor, value: Tensor, window: int) -> bool:
    """Whether the middle of such a window may be attended to in place, for which `attend` needs `recent` keys."""
    return has_flash(query, value) and window > LONG_MIDDLE


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
    rope: Rope | None = None,
    recent: Recent | None = None,
    padded: bool = False,
) -> None:
    """Attention over sink, selected and window keys for the rows of `slab`, written into `output` [B, Hq, Tq, D].

    query [B, Hq, Tq, D]; key and value [B, Hkv, capacity, D], each with its own capacity, a multiple of block_k, and
    finite throughout; blocks int64 [B, Hq, slab.blocks, K], ascending, none in the sink, or None for sink and window
    alone, which the heads of a GQA group then share. Every row of the slab must see the whole sink, as rows from
    `plan.sparse_start` on do.

    With `rope`, keys come before RoPE, which is applied at packed positions: their places among the gathered keys. The
    window then begins where that of the whole query block of `block_q` rows does, of which a slab may hold only the
    last rows; where the window `is_split`, `recent` holds the window keys of all rows, rotated.

    `padded`: any number of the last blocks may lie in the windows of all rows, where they are not counted twice.

    The keys gathered at a time fit the CPU's L2 cache, from which SDPA is twice as fast.
    """
    batch, heads_k, _, dim = key.shape
    heads = heads_k if blocks is None else query.shape[1]
    group = query.shape[1] // heads
    oldest = slab.first // block_q * block_q - window + 1
    window_blocks = (slab.first + slab.rows - 1) // block_k - oldest // block_k + 1
    selected = 0 if blocks is None else blocks.shape[3]
    middle = range(0)
    if is_split(query, value, window):
        middle = _middle(slab.first, slab.rows, window, block_k)
        middle = range(middle.start - oldest // block_k, middle.stop - oldest // block_k)
    edges = torch.tensor([i for i in range(window_blocks) if i not in middle], device=query.device)
    width = sink // block_k + selected + len(edges)
    places = torch.arange(width * block_k, device=query.device)
    places[places >= sink + (selected + middle.start) * block_k] += len(middle) * block_k
    per_part = max(1, WORKING_SET // (2 * batch * heads * width * block_k * dim * key.element_size()))
    key_blocks, value_blocks = key.view(-1, block_k * dim), value.view(-1, block_k * value.shape[3])
    owner = torch.arange(batch * heads, device=query.device).view(batch, heads, 1, 1) * heads_k // heads
    key_base, value_base = (owner * (x.shape[2] // block_k) for x in (key, value))  # first block of a head's KV head

    mask, masked = None, False
    for part in slab.split(per_part):
        n, rows = part.blocks, part.rows
        first = torch.arange(part.first, part.first + n * rows, rows, device=query.device)  # [n]
        near = (first + rows - 1)[:, None] // block_k + 1 - window_blocks + edges
        ids = [torch.arange(sink // block_k, device=query.device).expand(batch, heads, n, -1)]
        if blocks is not None:
            done = (part.start - slab.start) // rows
            ids.append(blocks[:, :, done : done + n])
        ids.append(near.clamp(min=0).expand(batch, heads, n, -1))
        index = torch.cat(ids, 3)
        keys = key_blocks.index_select(0, (key_base + index).flatten()).view(-1, 1, width * block_k, dim)
        if rope is not None:
            rope.apply_in_place(keys, places)
        values = value_blocks.index_select(0, (value_base + index).flatten())
        values = values.view(-1, 1, width * block_k, value.shape[3])

        position = first[:, None] + torch.arange(rows, device=query.device)  # [n, rows]
        reaches_sink = part.first - window + 1 < sink
        if mask is None or mask.shape[2] != n or masked:
            mask = query.new_zeros(batch, heads, n, group, rows, width * block_k)
            hidden = _outside_window(near, position, sink, window, block_k)
            mask[..., -len(edges) * block_k :].masked_fill_(hidden[:, None], -math.inf)
        masked = reaches_sink
        if blocks is not None:
            _hide_window_keys(mask, ids[1], position, sink, window, block_k, padded)

        queries = query[:, :, part.start : part.stop].unflatten(1, (heads, group)).unflatten(3, (n, rows))
        queries = queries.permute(0, 1, 3, 2, 4, 5).reshape(-1, 1, group * rows, dim)
        part_mask = mask.view(-1, 1, group * rows, width * block_k)
        sizes = (batch, heads, n, group, rows)
        if middle:
            result, sums = flash(queries, keys, values, scale, part_mask)
            rest = _attend_middle(recent or Recent(query, key, 0), value, part, window, sink, block_k, scale)
            merged = merge(_by_head(result, sizes), _by_head(sums[..., None], sizes)[..., 0], *rest)
        else:
            result = F.scaled_dot_product_attention(queries, keys, values, attn_mask=part_mask, scale=scale)
            merged = _by_head(result, sizes)
        output[:, :, part.start : part.stop] = merged


def _by_head(x: Tensor, sizes: tuple[int, int, int, int, int]) -> Tensor:
    """Reshape x, computed for (batch, heads, blocks, group, rows) `sizes`, to [B, Hq, blocks * rows, D]."""
    return x.reshape(*sizes, -1).permute(0, 1, 3, 2, 4, 5).flatten(1, 2).flatten(2, 3)


def _middle(first: int, rows: int, window: int, block_k: int) -> range:
    """Key blocks that lie in the windows of all `rows` rows from position `first` on; none if they are too few."""
    middle = range(-(-(first + rows - window) // block_k), first // block_k)
    return middle if len(middle) * block_k >= LONG_MIDDLE else range(0)


def _attend_middle(
    recent: Recent, value: Tensor, part: Slab, window: int, sink: int, block_k: int, scale: float
) -> tuple[Tensor, Tensor]:
    """Attention [B, Hq, rows, D] of the rows of `part`, each query block to the `_middle` of its window.

    Keys of the sink are left out. Also returns the logsumexp [B, Hq, rows] of the logits.
    """
    rows = recent.query[:, :, part.start : part.stop]
    output = torch.zeros_like(rows)
    sums = torch.full(rows.shape[:3], -math.inf, device=rows.device)
    for i in range(part.blocks):
        middle = _middle(part.first + i * part.rows, part.rows, window, block_k)
        start, stop = max(sink, middle.start * block_k), middle.stop * block_k
        if start < stop:
            here = slice(i * part.rows, (i + 1) * part.rows)
            key = recent.key[:, :, start - recent.start : stop - recent.start]
            output[:, :, here], sums[:, :, here] = flash_by_group(rows[:, :, here], key, value[:, :, start:stop], scale)
    return output, sums


def _token_positions(blocks: Tensor, block_k: int) -> Tensor:
    """Positions [..., blocks * block_k] of the keys in blocks [..., blocks]."""
    return (blocks[..., None] * block_k + torch.arange(block_k, device=blocks.device)).flatten(-2)


def _outside_window(recent: Tensor, position: Tensor, sink: int, window: int, block_k: int) -> Tensor:
    """Which keys of the `recent` blocks [n, blocks] are outside the windows of rows at `position` [n, rows].

    Returns bool [n, rows, keys]. Keys of the sink count as outside, because the sink's own columns hold them.
    """
    key = _token_positions(recent, block_k)[:, None]
    row = position[:, :, None]
    return (key <= row - window) | (key > row) | (key < sink)


def _hide_window_keys(
    mask: Tensor, selected: Tensor, position: Tensor, sink: int, window: int, block_k: int, padded: bool
) -> None:
    """Mask, in the columns of the selected blocks [B, H, n, K], the keys that are in a row's window already.

    mask [B, H, n, g, rows, keys], position [n, rows]. Blocks are ascending, so only the last few can hold such keys,
    unless the list is `padded`.
    """
    last = selected.shape[3] if padded else min(selected.shape[3], (position.shape[1] - 1) // block_k + 2)
    stop = sink + selected.shape[3] * block_k
    columns = mask[..., stop - last * block_k : stop]
    key = _token_positions(selected[..., -last:], block_k)[:, :, :, None]  # [B, H, n, 1, keys]
    hidden = key > (position - window)[:, :, None]
    columns.zero_().masked_fill_(hidden[:, :, :, None], -math.inf)
