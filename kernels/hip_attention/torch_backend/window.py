"""Sink and window of a decoded token at packed positions, stored once per KV head."""

import torch
from torch import Tensor

from hip_attention.cache.key_values import KeyValues
from hip_attention.config import HipConfig
from hip_attention.rope import Rope


class Window:
    """Keys and values [B, Hkv, sink + window - 1, D]: the sink, then the window before the newest token, in any order.

    Only distances matter to RoPE, and those between window keys and the newest token are the same at packed as at true
    positions. So window keys keep their positions, counted from token `origin`, and the sink gets new ones at every
    refresh. A key that enters the window overwrites the one that leaves it.
    """

    def __init__(self, config: HipConfig, rope: Rope, like: tuple[Tensor, Tensor], origin: int) -> None:
        self.origin = origin
        self._sink = config.sink
        self._rope = rope
        self._stop = 0  # the first token that is not stored yet
        size = config.sink + config.window - 1
        self.keys, self.values = (x.new_empty(*x.shape[:2], size, x.shape[3]) for x in like)

    def move(self, stored: KeyValues, begin: int) -> None:
        """Move the window up to the newest cached token, and the sink to positions from that of token `begin` on."""
        keys, values = stored.keys, stored.values
        newest, size = stored.length - 1, self.keys.shape[2] - self._sink
        start = max(self._stop, newest - size)
        self._put(keys.part(0, self._sink), values.part(0, self._sink), slice(self._sink), begin)
        slots = self._sink + torch.arange(start, newest, device=self.keys.device) % size
        self._put(keys.part(start, newest), values.part(start, newest), slots, start)
        self._stop = newest

    def _put(self, key: Tensor, value: Tensor, slots: slice | Tensor, start: int) -> None:
        self.keys[:, :, slots] = self._rope.apply(key, start - self.origin)
        self.values[:, :, slots] = value
