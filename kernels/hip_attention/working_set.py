"""The keys and values that decode attends to between two mask refreshes, side by side in memory."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hip_attention.config import HipConfig
from hip_attention.quantized import Stored
from hip_attention.rotary import Rotary


class WorkingSet:
    """Selected, sink and window keys of one decode position, and every key that arrived since.

    There is one set a key head, which all its query heads see: decode is bound by the memory it reads, and so each of
    them sees what any of them selected for what it would cost to see its own. At `packed` positions, where a selected
    key's place depends on the others, there is one a query head, and a key stands where it would lie in document order,
    sink first and the newest last. The window still begins where it began at the refresh, so no recent key is lost. The
    memory, [B, sets, selected + sink + window + refresh_interval, D] for keys and values each, is laid out once.
    """

    def __init__(self, config: HipConfig, packed: bool) -> None:
        self.config = config
        self.packed = packed
        self._length = 0
        self._keys = self._values = self._mask = torch.empty(0)

    @property
    def length(self) -> int:
        """Number of keys, which at packed positions is one more than that of the newest."""
        return self._length

    def refresh(self, keys: Stored, values: Stored, blocks: Tensor | None, rotary: Rotary | None, heads: int) -> None:
        """Gather what the newest cached token attends to, for `heads` query heads.

        `keys` are rotated by `rotary` if given, to true or packed positions; blocks int64 [B, Hq, K] ascending, none
        in the sink, or None.
        """
        config, length = self.config, keys.length
        self._reserve(keys.like, values.like, heads)
        self._length = 0
        if blocks is not None:
            oldest = length - config.window
            if not self.packed:
                of_group = blocks.unflatten(1, (keys.like.shape[1], -1)).flatten(2)
                blocks = distinct(of_group, -(-oldest // config.block_k))
            self._length = selected = blocks.shape[2] * config.block_k
            chosen = self._keys[:, :, :selected]
            keys.gather(blocks, config.block_k, chosen)
            values.gather(blocks, config.block_k, self._values[:, :, :selected])
            if rotary is not None and self.packed:
                rotary.rotate(chosen, config.sink, out=chosen)
            elif rotary is not None:
                rotary.rotate_blocks(chosen, blocks, config.block_k, out=chosen)
            self._hide(blocks, oldest)
        for start, stop in ((0, config.sink), (length - config.window, length)):
            part = keys.part(start, stop)
            place = self._length if self.packed and start else start
            self._put(part if rotary is None else rotary.rotate(part, place), values.part(start, stop))

    def append(self, key: Tensor, value: Tensor) -> None:
        """Add the newest token's key and value [B, Hkv, 1, D], which all heads of its group see."""
        self._put(key, value)

    def attend(self, query: Tensor, scale: float) -> Tensor:
        """query [B, Hq, 1, D]; returns [B, Hq, 1, D]."""
        mask = self._mask[..., : self._length] if self.config.top_k else None
        keys, values = self._keys[:, :, : self._length], self._values[:, :, : self._length]
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scale, enable_gqa=True)

    def _reserve(self, keys: Tensor, values: Tensor, heads: int) -> None:
        if self._keys.dim() == 4:
            return
        config = self.config
        sets = heads if self.packed else keys.shape[1]
        room = heads // sets * config.top_k + config.sink + config.window + config.refresh_interval
        self._keys = keys.new_empty(keys.shape[0], sets, room, keys.shape[3])
        self._values = values.new_empty(values.shape[0], sets, room, values.shape[3])
        self._mask = keys.new_zeros(keys.shape[0], heads, 1, room)

    def _put(self, key: Tensor, value: Tensor) -> None:
        """Store keys and values [B, Hkv, T, D] in every set that sees their head."""
        stop = self._length + key.shape[2]
        for target, new in ((self._keys, key), (self._values, value)):
            target.unflatten(1, (new.shape[1], -1))[:, :, :, self._length : stop] = new[:, :, None]
        self._length = stop

    def _hide(self, blocks: Tensor, oldest: int) -> None:
        """Hide selected keys from position `oldest` on, which the window holds too; show whatever follows."""
        key = blocks[..., None] * self.config.block_k + torch.arange(self.config.block_k, device=blocks.device)
        hidden = key.flatten(2)[:, :, None] >= oldest  # [B, sets, 1, selected]
        mask = self._mask.zero_()[:, :, 0, : self._length].unflatten(1, (blocks.shape[1], -1))
        mask.masked_fill_(hidden, -math.inf)


def distinct(blocks: Tensor, filler: int) -> Tensor:
    """The different numbers in each row of blocks int64 [B, S, N], ascending: [B, S, most of any row].

    Shorter rows are filled up with `filler`, which is larger than all of them.
    """
    ordered = blocks.sort(-1).values
    repeated = F.pad(ordered[..., 1:] == ordered[..., :-1], (1, 0))
    most = int((~repeated).sum(-1).max())
    return ordered.masked_fill_(repeated, filler).sort(-1).values[..., :most]
