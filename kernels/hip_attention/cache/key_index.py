"""What the search of one layer reads: summaries of its keys, and queries and keys as it compares them."""

import torch
from torch import Tensor

from hip_attention.backend import Summaries, make_summaries
from hip_attention.cache.key_values import KeyValues
from hip_attention.config import HipConfig
from hip_attention.plan import searchable_blocks
from hip_attention.rope import Rope
from hip_attention.torch_backend.summaries import KeySummaries


class KeyIndex:
    """Summaries of the `stored` keys, updated when a search needs them.

    Keys are compared with queries at true positions, or, where `config.packed_from` is set, by content: keys before
    RoPE, and queries rotated to one distance from all of them. Memory is reserved for `capacity` keys.
    """

    def __init__(self, config: HipConfig, stored: KeyValues, rope: Rope | None, capacity: int) -> None:
        self.config = config
        self.summaries: Summaries = KeySummaries(config.sink, config.block_k)
        self._stored = stored
        self._rope = rope
        self._capacity = capacity

    def begin(self, device: torch.device) -> None:
        """Start again without summaries, for keys on `device`."""
        self.summaries = make_summaries(self.config, device, self._capacity)

    def update(self) -> None:
        """Summarise every complete block without a summary: all of them after `restore`."""
        begin, config = self.summaries.next_key, self.config
        if config.top_k and config.uses_summaries and begin + config.block_k <= self._stored.length:
            read = self._stored.positioned if config.packed_from is None else self._stored.keys.part
            self.summaries.extend(read(begin, self._stored.length))

    def update_for(self, position: int) -> None:
        """Update the summaries if the token at `position` searches key blocks without a summary."""
        config = self.config
        blocks = searchable_blocks(position, config.sink, config.window, config.block_k)
        if self.summaries.next_key < config.sink + blocks * config.block_k:
            self.update()

    def query(self, query: Tensor) -> Tensor:
        """Query [B, Hq, T, D] of the last T stored tokens, as the search compares it with keys."""
        if self.config.packed_from is None:
            return self._stored.apply_rope(query, self._stored.length - query.shape[2])
        assert self._rope is not None
        return self._rope.apply_at(query, self.config.search_distance, self.config.search_distance + 1)

    def keys(self) -> Tensor:
        """Keys [B, Hkv, >= length, D] as the search reads them."""
        stored = self._stored
        return stored.all_keys(stored.length) if self.config.packed_from is None else stored.whole_keys()
