"""One layer of attention over its cached keys and values: prefill in chunks, questions, decode."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hip_attention.attention import NEEDS_ROTARY, Unrotated, prefill, sliding_attention, sparse_rows
from hip_attention.backend import uses_triton
from hip_attention.cache.decode import Decode
from hip_attention.cache.key_index import KeyIndex
from hip_attention.cache.key_values import KeyValues, Scratch
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig
from hip_attention.plan import packed_start, sparse_start
from hip_attention.rope import Rotary
from hip_attention.torch_backend.attend import Recent, is_split
from hip_attention.torch_backend.dense import dense_attention

# attention(query [B, Hq, Tq, D], key, value [B, Hkv, Tk, D], config, scale) -> [B, Hq, Tq, D], keys at true positions
SparseAttention = Callable[[Tensor, Tensor, Tensor, HipConfig, float], Tensor]


QUESTION_ROWS = 1024  # a longer question is read like a document, because dense rows cost as much as keys are many


class LayerCache:
    """Keys and values of one attention layer in preallocated memory, and attention over them.

    With a `rotary` keys are stored as they are before rotation, and are rotated when they are used: to their true
    positions, or past `packed_from` to packed ones. Without one they arrive rotated. With `int8` keys and values are
    stored as integers (see `quantized`): prefill makes numbers of all of them for each chunk, decode of those that are
    attended to. `attention` replaces sparse attention, prefill and decode, by a function of tensors. Batch and heads
    are those of the first keys. Gradients do not flow through a cache.
    Raises ValueError when positions shall be packed without a `rotary`.
    """

    def __init__(
        self,
        config: HipConfig,
        capacity: int = 0,
        rotary: Rotary | None = None,
        scratch: Scratch | None = None,
        attention: SparseAttention | None = None,
        int8: bool = False,
    ) -> None:
        if config.packed_from is not None and rotary is None:
            raise ValueError(NEEDS_ROTARY)
        self.config = config
        self._capacity = capacity
        self.rotary = rotary
        scratch = scratch or Scratch.of(config, capacity)
        self.stored = KeyValues(config, capacity, rotary, scratch, int8)
        self.index = KeyIndex(config, self.stored, rotary, capacity)
        self.decode = Decode(config, self.stored, self.index, rotary, scratch.decode)
        self.question = False  # whether the next rows are a question
        self.step: Step | None = None  # the newest token where it is counted by `lengthen`
        self._attention = attention

    def configure(self, config: HipConfig) -> None:
        """Attend so from now on; how keys are stored and where they are packed stays as it is."""
        self.config = self.index.config = config
        self.decode.configure(config)

    @property
    def length(self) -> int:
        """Number of cached tokens."""
        return self.stored.length

    @torch.no_grad()
    def append(self, key: Tensor, value: Tensor) -> None:
        """Store keys and values [B, Hkv, T, D] of the next T tokens, or of the newest where there is a `step`."""
        if self.step is not None:
            self.stored.put(key, value, self.step.position)
            return
        if self.length == 0:
            self.index.begin(key.device)
        self.stored.append(key, value)

    def lengthen(self) -> bool:
        """Count the next token, which a `step` decodes. Returns whether it has to select keys anew."""
        if self.index.summaries.next_key > self.config.sink:
            self.index.update_for(self.length)
        self.stored.lengthen()
        return self.decode.count()

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Addresses of what kernels read: keys, values and summaries move when they are given more room."""
        return *self.stored.addresses, self.index.summaries.address

    @property
    def can_step(self) -> bool:
        """Whether a `step` can decode the next token: with Triton, and by what the device knows."""
        config = self.decode.config
        searches = config.backend != "dense" and config.top_k > 0
        dense = replace(config, backend="auto") if config.backend == "dense" else config
        return (
            self._attention is None and self.length > 0 and uses_triton(dense, self.stored.keys.like.device)
            and not (searches and config.reads_keys)
        )  # fmt: skip

    def state(self, start: int, stop: int) -> dict[str, Tensor]:
        """What is stored of tokens [start, stop), as named views of it; most are [B, Hkv, stop - start, *]."""
        return self.stored.state(start, stop)

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Store the next tokens as `state` gave them for a cache with the same settings.

        Everything else that attention remembers follows from them when it is needed.
        """
        if self.length == 0:
            self.index.begin(next(iter(state.values())).device)
        self.stored.restore(state)

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        self.stored.truncate(length)
        self.index.summaries.truncate(length)
        self.decode.reset()

    @torch.no_grad()
    def attend(self, query: Tensor, scale: float, *, dense: bool = False, sliding_window: int | None = None) -> Tensor:
        """Attention of query [B, Hq, T, D], the last T cached tokens, over the cache. Returns [B, Hq, T, D].

        `dense` attends to everything, before `packed_from`, as do the rows of a dense `question`, which past it
        search exhaustively; `sliding_window` attends to exactly that many last keys.
        """
        length_q = query.shape[2]
        if self.step is not None:
            return self.decode.step(query, scale, self.step, dense, sliding_window)
        if sliding_window is not None:
            return self._sliding(query, scale, sliding_window)
        start = packed_start(length_q, self.length, self.config)
        if start == 0:
            return self._attend_packed(query, scale)
        exact = self._attend_exactly(query[:, :, :start], self.length - length_q + start, scale, dense)
        if start == length_q:
            return exact
        return torch.cat((exact, self._attend_packed(query[:, :, start:], scale)), 2)

    def _attend_exactly(self, query: Tensor, length: int, scale: float, dense: bool) -> Tensor:
        """Attention of query [B, Hq, T, D], the last of the first `length` cached tokens, at true positions."""
        length_q, stored = query.shape[2], self.stored
        first = length - length_q
        config = self.decode.config if length_q == 1 else self.config
        if dense or sparse_start(length_q, length, config) == length_q:
            keys = stored.kept_keys(length)
            return dense_attention(stored.turned(query, first), keys, stored.all_values(length), scale)
        if self._is_question(length_q):
            self.decode.reset()
            keys = stored.all_keys(length)[:, :, :length]
            return dense_attention(stored.turned(query, first), keys, stored.all_values(length), scale)
        if self._attention is not None:
            query, keys = stored.turned(query, first), stored.kept_keys(length)
            return self._attention(query, keys, stored.all_values(length), self.config, scale)
        stored.let_go()
        if length_q == 1:
            return self.decode.sparse(query, scale, packed=False)
        self._begin_prefill(self.config)
        return prefill(
            stored.turned(query, first), stored.all_keys(length), stored.whole_values(length), length,
            self.index.summaries, self.config, scale, self._unrotated(query, packed=False),
            max(0, self._capacity - length),
        )  # fmt: skip

    def _attend_packed(self, query: Tensor, scale: float) -> Tensor:
        """Attention of query [B, Hq, T, D], the last T cached tokens, at packed positions."""
        self.stored.let_go()
        length_q = query.shape[2]
        if length_q == 1:
            return self.decode.sparse(query, scale, packed=True)
        searches_all = self._is_question(length_q) and self.length - length_q >= self.config.visible_keys
        config = self.config.of_question if searches_all else self.config
        self._begin_prefill(config)
        assert self.rotary is not None
        position = torch.arange(self.length - length_q, self.length, device=query.device)
        begin = position // config.block_q * config.block_q
        base = torch.div(begin - config.window + 1, config.block_k, rounding_mode="floor") * config.block_k
        placed = self.rotary.rotate_at(query, position - base + config.sink + config.top_k, config.packed_length)
        values = self.stored.whole_values(self.length)
        recent = self._recent(query, config.window) if is_split(query, values, config.window) else None
        unrotated = self._unrotated(query, packed=True, recent=recent)
        assert unrotated is not None
        output = query.new_empty(*query.shape[:3], values.shape[3])
        summaries = self.index.summaries if config.uses_summaries else None
        sparse_rows(placed, unrotated.key, values, 0, self.length, summaries, config, scale, output, unrotated)
        return output

    def _is_question(self, length_q: int) -> bool:
        return self.question and self.config.question == "dense" and 1 < length_q <= QUESTION_ROWS

    def _sliding(self, query: Tensor, scale: float, window: int) -> Tensor:
        first = self.length - query.shape[2]
        start = max(0, first - window + 1)
        keys, values = self.stored.positioned(start, self.length), self.stored.values.part(start, self.length)
        return sliding_attention(self.stored.turned(query, first), keys, values, window, self.config, scale)

    def _begin_prefill(self, config: HipConfig) -> None:
        self.decode.reset()
        if config.uses_summaries:
            self.index.update()

    def _recent(self, query: Tensor, window: int) -> Recent:
        """Query [B, Hq, T, D], the last T cached tokens, and the keys in their windows, at true positions."""
        first = self.length - query.shape[2]
        oldest = max(0, first - window)
        return Recent(self.stored.turned(query, first), self.stored.positioned(oldest, self.length), oldest)

    def _unrotated(self, query: Tensor, packed: bool, recent: Recent | None = None) -> Unrotated | None:
        if self.config.packed_from is None:
            return None
        assert self.rotary is not None
        return Unrotated(self.index.query(query), self.stored.whole_keys(), self.rotary, packed, recent)


def make_layers(
    count: int,
    config: HipConfig,
    capacity: int = 0,
    rotary_of: Callable[[int], Rotary | None] | None = None,
    attention: SparseAttention | None = None,
    int8: bool = False,
) -> list[LayerCache]:
    """Caches for `count` layers that share scratch memory; `rotary_of(layer)` gives each its rotary.

    A `capacity` tells how long the context will be (see `HipConfig.for_context`). With `int8` all but
    `config.full_layers` store integers. Raises ValueError where that leaves none.
    """
    config = config.for_context(capacity)
    if int8 and config.backend == "dense":
        raise ValueError("int8 keys and values need sparse attention: dense attention reads all of them at every token")
    scratch = Scratch.of(config, capacity)
    return [
        LayerCache(
            config, capacity, rotary_of(i) if rotary_of else None, scratch, attention, int8 and i >= config.full_layers
        )
        for i in range(count)
    ]  # fmt: skip
