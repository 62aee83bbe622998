"""The keys and values that decode attends to between two mask refreshes, in contiguous memory."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hip_attention.cache.key_values import KeyValues
from hip_attention.config import HipConfig
from hip_attention.rope import Rope
from hip_attention.torch_backend.dense import flash_row, merge
from hip_attention.torch_backend.window import Window


class WorkingSet:
    """Selected, sink and window keys of one decode position, and every key that arrived since.

    There is one set per KV head. All query heads of its GQA group attend to it, so each sees what any of them selected;
    that costs no more than attending to its own selection, because decode is bound by the memory it reads. At `packed`
    positions, where the place of a selected key depends on the others, there is one set per query head, and sink and
    window are a `Window`. The window begins where it began at the refresh, so no recent key is lost. Keys and values
    are allocated once, [B, sets, selected + sink + window + refresh_interval, D] each, or at packed positions
    [B, sets, selected + refresh_interval, D].
    """

    def __init__(self, config: HipConfig, rope: Rope | None, packed: bool) -> None:
        self.config = config
        self.rope = rope
        self.packed = packed
        self._window: Window | None = None
        self._newest = 0
        self._length = 0
        self._keys = self._values = self._mask = torch.empty(0)

    def refresh(self, stored: KeyValues, blocks: Tensor | None, heads: int) -> None:
        """Gather what the newest cached token attends to, for `heads` query heads.

        RoPE is applied to keys if there is a rope; blocks int64 [B, Hq, K] ascending, none in the sink, or None.
        """
        config, length = self.config, stored.length
        if self._keys.dim() == 1:
            self._reserve(stored, heads)
        self._length = 0
        begin = length - config.visible_keys if self.packed else 0
        if blocks is not None:
            self._select(stored, blocks, begin + config.sink)
        if self._window is not None:
            self._window.move(stored, begin)
        else:
            self._put(stored, 0, config.sink)
            self._put(stored, length - config.window, length - 1)
        self.append(stored)

    def append(self, stored: KeyValues) -> None:
        """Add the newest cached token."""
        self._newest = stored.length - 1
        self._put(stored, self._newest, stored.length)

    def attend(self, query: Tensor, scale: float) -> Tensor:
        """Attention of query [B, Hq, 1, D] of the newest token; returns [B, Hq, 1, D]."""
        query = self._apply_rope(query, self._newest)
        mask = self._mask[..., : self._length] if self.config.top_k else None
        keys, values = self._keys[:, :, : self._length], self._values[:, :, : self._length]
        output, sums = flash_row(query, keys, values, scale, mask)
        if self._window is None:
            return output
        return merge(output, sums, *flash_row(query, self._window.keys, self._window.values, scale))

    def _reserve(self, stored: KeyValues, heads: int) -> None:
        config, like = self.config, (stored.keys.like, stored.values.like)
        sets, shared = like[0].shape[1], config.sink + config.window
        if self.packed:
            assert self.rope is not None
            self._window = Window(config, self.rope, like, stored.length - config.visible_keys)
            sets, shared = heads, 0
        room = heads // sets * config.top_k + shared + config.refresh_interval
        self._keys, self._values = (x.new_empty(x.shape[0], sets, room, x.shape[3]) for x in like)
        self._mask = like[0].new_zeros(like[0].shape[0], sets, 1, room)

    def _put(self, stored: KeyValues, start: int, stop: int) -> None:
        """Add cached tokens [start, stop) to every set of their KV head."""
        end = self._length + stop - start
        for target, new in (
            (self._keys, self._apply_rope(stored.keys.part(start, stop), start)),
            (self._values, stored.values.part(start, stop)),
        ):
            target.unflatten(1, (new.shape[1], -1))[:, :, :, self._length : end] = new[:, :, None]
        self._length = end

    def _select(self, stored: KeyValues, blocks: Tensor, start: int) -> None:
        """Gather `blocks`; at packed positions, they get the places of tokens from `start` on."""
        block_k, oldest = self.config.block_k, stored.length - self.config.window
        if not self.packed:
            of_group = blocks.unflatten(1, (stored.keys.like.shape[1], -1)).flatten(2)
            blocks = distinct(of_group, -(-oldest // block_k))
        self._length = selected = blocks.shape[2] * block_k
        key, chosen = stored.keys.gather(blocks, block_k), self._keys[:, :, :selected]
        self._values[:, :, :selected] = stored.values.gather(blocks, block_k)
        if self.rope is None:
            chosen[:] = key
        elif self.packed:
            self.rope.apply(key, self._place(start), out=chosen)
        else:
            self.rope.apply_to_blocks(key, blocks, block_k, out=chosen)
        # The window holds these keys too.
        token = (blocks[..., None] * block_k + torch.arange(block_k, device=blocks.device)).flatten(2)
        self._mask.zero_()[:, :, 0, :selected].masked_fill_(token >= oldest, -math.inf)

    def _place(self, token: int) -> int:
        """Position of a token for RoPE."""
        return token if self._window is None else token - self._window.origin

    def _apply_rope(self, x: Tensor, start: int) -> Tensor:
        """x [B, H, T, D] rotated to the positions of tokens from `start` on."""
        return x if self.rope is None else self.rope.apply(x, self._place(start))


def distinct(blocks: Tensor, filler: int) -> Tensor:
    """The distinct numbers of each row of blocks int64 [B, S, N], ascending: [B, S, largest count of any row].

    Rows with fewer are padded with `filler`, which is larger than all numbers.
    """
    ordered = blocks.sort(-1).values
    repeated = F.pad(ordered[..., 1:] == ordered[..., :-1], (1, 0))
    most = int((~repeated).sum(-1).max())
    return ordered.masked_fill_(repeated, filler).sort(-1).values[..., :most]
