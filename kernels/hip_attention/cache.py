"""One layer's keys and values, and what sparse attention remembers about them between calls."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hip_attention.attention import prefill, sliding_attention
from hip_attention.backend import Summaries, make_summaries, uses_triton
from hip_attention.buffer import Buffer
from hip_attention.config import HipConfig
from hip_attention.dense import dense_attention
from hip_attention.geometry import Slab, sparse_start
from hip_attention.rotary import Rotary
from hip_attention.summaries import KeySummaries
from hip_attention.torch_select import select
from hip_attention.working_set import WorkingSet

if TYPE_CHECKING:
    from hip_attention.triton_decode import DecodeState


# attention(query [B, Hq, Tq, D], key, value [B, Hkv, Tk, D], config, scale) -> [B, Hq, Tq, D], keys at true positions
SparseAttention = Callable[[Tensor, Tensor, Tensor, HipConfig, float], Tensor]


class LayerCache:
    """Keys and values of one attention layer in preallocated memory, and attention over them.

    With a `rotary` keys are stored as they are before rotation and are rotated to their true positions when they are
    used; without one they arrive rotated. `scratch` is memory for rotated keys that layers may share, because only
    one of them attends at a time. `attention` replaces sparse attention, prefill and decode, by a function of tensors.
    Batch and heads are those of the first keys. Gradients do not flow through a cache.
    """

    def __init__(
        self,
        config: HipConfig,
        capacity: int = 0,
        rotary: Rotary | None = None,
        scratch: Buffer | None = None,
        attention: SparseAttention | None = None,
    ) -> None:
        self.config = config
        self.rotary = rotary
        self.keys = Buffer(capacity, config.block_k)
        self.values = Buffer(capacity, config.block_k)
        self.summaries: Summaries = KeySummaries(config.sink, config.block_k)
        self.working_set: WorkingSet | None = None
        self.decode_state: DecodeState | None = None
        self._attention = attention
        self._steps = 0  # tokens decoded since the last prefill or rewind
        self._scratch = scratch if scratch is not None else Buffer(capacity, config.block_k)
        self._rotated: Buffer | None = None

    @property
    def length(self) -> int:
        """Number of cached tokens."""
        return self.keys.length

    @torch.no_grad()
    def append(self, key: Tensor, value: Tensor) -> None:
        """Store keys and values [B, Hkv, T, D] of the next T tokens."""
        if self.length == 0:
            self.summaries = make_summaries(self.config, key.device)
        self.keys.append(key)
        self.values.append(value)

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        for buffer in (self.keys, self.values, self._rotated):
            if buffer is not None:
                buffer.truncate(length)
        self.summaries.truncate(length)
        self.working_set, self._steps = None, 0

    @torch.no_grad()
    def attend(self, query: Tensor, scale: float, *, dense: bool = False, sliding_window: int | None = None) -> Tensor:
        """Attention of query [B, Hq, T, D], the last T cached tokens, over the cache. Returns [B, Hq, T, D].

        `dense` attends to everything; `sliding_window` to exactly that many last keys.
        """
        length_q = query.shape[2]
        if self.rotary is not None:
            query = self.rotary.rotate(query, self.length - length_q)
        if sliding_window is not None:
            return self._sliding(query, scale, sliding_window)
        if dense or sparse_start(length_q, self.length, self.config) == length_q:
            return dense_attention(query, self._kept_keys(), self.values.tokens, scale)
        if self._attention is not None:
            return self._attention(query, self._kept_keys(), self.values.tokens, self.config, scale)
        self._rotated = None
        if length_q == 1:
            return self._decode(query, scale)
        self.working_set, self._steps = None, 0
        self._summarise()
        return prefill(query, self._all_keys(), self.values.data, self.length, self.summaries, self.config, scale)

    def _sliding(self, query: Tensor, scale: float, window: int) -> Tensor:
        start = max(0, self.length - query.shape[2] - window + 1)
        return sliding_attention(
            query, self._positioned(start, self.length), self.values.tokens[:, :, start:], window, self.config, scale
        )

    def _decode(self, query: Tensor, scale: float) -> Tensor:
        due = self._steps % self.config.refresh_interval == 0
        self._steps += 1
        if due:
            self._summarise()
        if uses_triton(self.config, query.device):
            return self._decode_with_triton(query, scale, due)
        last = self.length - 1
        if self.working_set is None:
            self.working_set = WorkingSet(self.config)
        if due:
            blocks = None
            if self.config.top_k:
                key = None if self.config.selector == "summary" else self._all_keys()
                assert isinstance(self.summaries, KeySummaries)
                blocks = select(query, Slab(0, last, 1, 1), self.config, self.summaries, key)[:, :, 0]
            self.working_set.refresh(self.keys, self.values, blocks, self.rotary, query.shape[1])
        else:
            self.working_set.append(self._positioned(last, self.length), self.values.tokens[:, :, last:])
        return self.working_set.attend(query, scale)

    def _decode_with_triton(self, query: Tensor, scale: float, due: bool) -> Tensor:
        from hip_attention.triton_decode import DecodeState

        batch, heads = query.shape[:2]
        values = self.values.data
        if self.decode_state is None:
            self.decode_state = DecodeState(self.config, batch, heads, values.shape[3], query.device)
        state = self.decode_state
        state.length.fill_(self.length)
        if due:
            by_summary = self.config.selector == "summary" or not self.config.top_k
            state.refresh(query, self.summaries, None if by_summary else self._all_keys())
        tables = None if self.rotary is None else self.rotary.cover(self.length, query)
        output = torch.empty(batch, heads, 1, values.shape[3], dtype=query.dtype, device=query.device)
        state.attend(query, self.keys.data, values, scale, output, tables)
        return output

    def _summarise(self) -> None:
        """Bring the key summaries up to date with every complete block."""
        begin = self.summaries.next_key
        if self.config.top_k and self.config.selector == "summary" and begin + self.config.block_k <= self.length:
            self.summaries.extend(self._positioned(begin, self.length))

    def _positioned(self, start: int, stop: int) -> Tensor:
        """Keys [start, stop) rotated to their true positions."""
        keys = self.keys.data[:, :, start:stop]
        return keys if self.rotary is None else self.rotary.rotate(keys, start)

    def _all_keys(self) -> Tensor:
        """All keys at their true positions, [B, Hkv, capacity, D], valid until another layer asks for its own."""
        if self.rotary is None:
            return self.keys.data
        self._scratch.grow(self.length, self.keys.data)
        self.rotary.rotate(self.keys.tokens, 0, out=self._scratch.data[:, :, : self.length])
        return self._scratch.data

    def _kept_keys(self) -> Tensor:
        """All keys at their true positions, [B, Hkv, length, D], kept for the next call: dense layers read them all."""
        if self.rotary is None:
            return self.keys.tokens
        if self._rotated is None:
            self._rotated = Buffer(self.keys.data.shape[2])
        if self._rotated.length < self.length:
            self._rotated.append(self._positioned(self._rotated.length, self.length))
        return self._rotated.tokens


def make_layers(
    count: int,
    config: HipConfig,
    capacity: int = 0,
    rotary_of: Callable[[int], Rotary | None] | None = None,
    attention: SparseAttention | None = None,
) -> list[LayerCache]:
    """Caches for `count` layers that share one scratch buffer; `rotary_of(layer)` gives each its rotary."""
    scratch = Buffer(capacity, config.block_k)
    return [LayerCache(config, capacity, rotary_of(i) if rotary_of else None, scratch, attention) for i in range(count)]
