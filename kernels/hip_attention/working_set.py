"""The keys and values that decode attends to between two mask refreshes, side by side in memory."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hip_attention.buffer import Buffer
from hip_attention.config import HipConfig
from hip_attention.rotary import Rotary


class WorkingSet:
    """Selected, sink and window keys of one decode position, and every key that arrived since.

    At packed positions a key stands where it lies here in document order, sink first, and the newest last.
    The window therefore still begins where it began at the refresh, and no recent key is lost. The memory,
    [B, Hq, top_k + sink + window + refresh_interval, D] for keys and values each, is laid out once. `blocks` int64
    [B, Hq, K] are the selected key blocks.
    """

    def __init__(self, config: HipConfig) -> None:
        self.config = config
        self.blocks: Tensor | None = None
        self._length = 0
        self._keys = self._values = self._mask = torch.empty(0)

    @property
    def length(self) -> int:
        """Number of keys, which is one more than the packed position of the newest."""
        return self._length

    def refresh(
        self,
        keys: Buffer,
        values: Buffer,
        blocks: Tensor | None,
        rotary: Rotary | None,
        heads: int,
        packed: bool = False,
    ) -> None:
        """Gather what the newest cached token attends to, for `heads` query heads.

        `keys` are rotated by `rotary` if given, to true or `packed` positions; blocks int64 [B, Hq, K] ascending, none
        in the sink, or None.
        """
        config, length = self.config, keys.length
        self.blocks = blocks
        self._reserve(keys.data, values.data, heads)
        selected = 0
        if blocks is not None:
            selected = config.top_k
            chosen = _gather_blocks(keys.data, blocks, config.block_k)
            if rotary is None:
                self._keys[:, :, :selected] = chosen
            elif packed:
                rotary.rotate(chosen, config.sink, out=self._keys[:, :, :selected])
            else:
                rotary.rotate_blocks(chosen, blocks, config.block_k, out=self._keys[:, :, :selected])
            self._values[:, :, :selected] = _gather_blocks(values.data, blocks, config.block_k)
            self._hide_window_keys(blocks, length - config.window)
        self._length = selected
        for start, stop in ((0, config.sink), (length - config.window, length)):
            part = keys.data[:, :, start:stop]
            place = self._length if packed and start else start
            self._put(part if rotary is None else rotary.rotate(part, place), values.data[:, :, start:stop])

    def append(self, key: Tensor, value: Tensor) -> None:
        """Add the newest token's key and value [B, Hkv, 1, D], which all heads of its group see."""
        self._put(key, value)

    def attend(self, query: Tensor, scale: float) -> Tensor:
        """query [B, Hq, 1, D]; returns [B, Hq, 1, D]."""
        mask = None if self.blocks is None else self._mask[..., : self._length]
        keys, values = self._keys[:, :, : self._length], self._values[:, :, : self._length]
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scale)

    def _reserve(self, keys: Tensor, values: Tensor, heads: int) -> None:
        if self._keys.dim() == 4:
            return
        config = self.config
        room = config.top_k + config.sink + config.window + config.refresh_interval
        self._keys = keys.new_empty(keys.shape[0], heads, room, keys.shape[3])
        self._values = values.new_empty(values.shape[0], heads, room, values.shape[3])
        self._mask = keys.new_zeros(keys.shape[0], heads, 1, room)

    def _put(self, key: Tensor, value: Tensor) -> None:
        """Store keys and values [B, Hkv, T, D] for every head of their groups."""
        stop = self._length + key.shape[2]
        for target, new in ((self._keys, key), (self._values, value)):
            target.unflatten(1, (new.shape[1], -1))[:, :, :, self._length : stop] = new[:, :, None]
        self._length = stop

    def _hide_window_keys(self, blocks: Tensor, oldest: int) -> None:
        """Hide selected keys that the window holds too: only the last block, ascending, can hold any."""
        block_k = self.config.block_k
        key = blocks[:, :, -1:] * block_k + torch.arange(block_k, device=blocks.device)
        columns = self._mask[:, :, 0, self.config.top_k - block_k : self.config.top_k]
        columns.zero_().masked_fill_(key >= oldest, -math.inf)


def _gather_blocks(x: Tensor, blocks: Tensor, block_k: int) -> Tensor:
    """Blocks int64 [B, Hq, K] of x [B, Hkv, capacity, D], each query head from its group: [B, Hq, K * block_k, D]."""
    batch, heads_k, capacity, dim = x.shape
    heads = blocks.shape[1]
    owner = torch.arange(batch * heads, device=x.device).view(batch, heads, 1) * heads_k // heads
    rows = (owner * (capacity // block_k) + blocks).flatten()
    return x.view(-1, block_k * dim).index_select(0, rows).view(batch, heads, -1, dim)
