"""One layer's keys and values, and what sparse attention remembers about them between calls."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from hip_attention.attention import NEEDS_ROTARY, Unrotated, prefill, sliding_attention, sparse_rows
from hip_attention.backend import Summaries, make_summaries, uses_triton
from hip_attention.buffer import Buffer
from hip_attention.config import HipConfig
from hip_attention.dense import dense_attention
from hip_attention.geometry import (
    Slab,
    decoded_packed,
    decoded_sparsely,
    packed_start,
    searchable_blocks,
    sparse_start,
    true_positions,
)
from hip_attention.quantized import QuantizedBuffer, Stored
from hip_attention.rotary import Rotary
from hip_attention.step import Step
from hip_attention.summaries import KeySummaries
from hip_attention.torch_attend import Recent, is_split
from hip_attention.torch_select import select
from hip_attention.working_set import WorkingSet

if TYPE_CHECKING:
    from hip_attention.triton_layer import LayerDecode, SharedStates


# attention(query [B, Hq, Tq, D], key, value [B, Hkv, Tk, D], config, scale) -> [B, Hq, Tq, D], keys at true positions
SparseAttention = Callable[[Tensor, Tensor, Tensor, HipConfig, float], Tensor]


QUESTION_ROWS = 1024  # a longer question is read like a document, because dense rows cost as much as keys are many


@dataclass(frozen=True)
class Scratch:
    """Memory that layers may share, because only one of them attends at a time.

    For keys `rotated` to true positions, `keys` and `values` that are stored as integers, and `decode` of layers that
    select nothing.
    """

    rotated: Buffer
    keys: Buffer
    values: Buffer
    decode: "SharedStates" = field(default_factory=dict)

    @classmethod
    def of(cls, config: HipConfig, capacity: int) -> "Scratch":
        rotated = Buffer(true_positions(config, capacity), config.block_k)
        return cls(rotated, Buffer(capacity, config.block_k), Buffer(capacity, config.block_k))


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
        self.configure(config)
        self._capacity = capacity
        self.rotary = rotary
        store = QuantizedBuffer if int8 else Buffer
        self.keys: Stored = store(capacity, config.block_k)
        self.values: Stored = store(capacity, config.block_k)
        self.summaries: Summaries = KeySummaries(config.sink, config.block_k)
        self.working_set: WorkingSet | None = None
        self.question = False  # whether the next rows are a question
        self.step: Step | None = None  # the newest token where it is counted by `lengthen`
        self._layer_decode: LayerDecode | None = None
        self._attention = attention
        self._steps = 0  # tokens decoded since the last prefill, rewind or first packed one
        self._packed = False  # where the working set stands
        self._scratch = scratch or Scratch.of(config, capacity)
        self._rotated: Buffer | None = None

    def configure(self, config: HipConfig) -> None:
        """Attend so from now on; how keys are stored and where they are packed stays as it is."""
        self.config = config
        self._of_decode = config.of_decode

    @property
    def length(self) -> int:
        """Number of cached tokens."""
        return self.keys.length

    @torch.no_grad()
    def append(self, key: Tensor, value: Tensor) -> None:
        """Store keys and values [B, Hkv, T, D] of the next T tokens, or of the newest where there is a `step`."""
        if self.step is not None:
            self.keys.put(key, self.step.position)
            self.values.put(value, self.step.position)
            return
        if self.length == 0:
            self.summaries = make_summaries(self.config, key.device, self._capacity)
        self.keys.append(key)
        self.values.append(value)

    def lengthen(self) -> bool:
        """Count the next token, which a `step` decodes. Returns whether it has to select keys anew."""
        if self.summaries.next_key > self.config.sink:
            self._summarise_for(self.length)
        self.keys.lengthen()
        self.values.lengthen()
        stage = self.stage
        return stage == "short" or self._age(stage == "packed") == 0

    @property
    def stage(self) -> Literal["short", "sparse", "packed"]:
        """How the newest token attends: to everything, or sparsely at true positions or at packed ones."""
        if decoded_packed(self.length - 1, self.config):
            return "packed"
        return "sparse" if decoded_sparsely(self.length - 1, self._of_decode) else "short"

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Addresses of what kernels read: keys, values and summaries move when they are given more room."""
        return self.keys.address, self.values.address, self.summaries.address

    @property
    def can_step(self) -> bool:
        """Whether a `step` can decode the next token: with Triton, and by what the device knows."""
        config = self._of_decode
        searches = config.backend != "dense" and config.top_k > 0
        dense = replace(config, backend="auto") if config.backend == "dense" else config
        return (
            self._attention is None and self.length > 0 and uses_triton(dense, self.keys.like.device)
            and not (searches and config.reads_keys)
        )  # fmt: skip

    def state(self, start: int, stop: int) -> dict[str, Tensor]:
        """What is stored of tokens [start, stop), as named views of it; most are [B, Hkv, stop - start, *]."""
        stored = {"key": self.keys.state(start, stop), "value": self.values.state(start, stop)}
        return {name + part: tensor for name, parts in stored.items() for part, tensor in parts.items()}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Store the next tokens as `state` gave them for a cache with the same settings.

        Everything else that attention remembers follows from them when it is needed.
        """
        if self.length == 0:
            self.summaries = make_summaries(self.config, next(iter(state.values())).device, self._capacity)
        for name, buffer in (("key", self.keys), ("value", self.values)):
            buffer.restore({part.removeprefix(name): x for part, x in state.items() if part.startswith(name)})

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

        `dense` attends to everything, before `packed_from`, as do the rows of a dense `question`, which past it
        search exhaustively; `sliding_window` attends to exactly that many last keys.
        """
        length_q = query.shape[2]
        if self.step is not None:
            return self._take_step(query, scale, self.step, dense, sliding_window)
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
        length_q = query.shape[2]
        first = length - length_q
        config = self._of_decode if length_q == 1 else self.config
        if dense or sparse_start(length_q, length, config) == length_q:
            return dense_attention(self._turned(query, first), self._kept_keys(length), self._all_values(length), scale)
        if self._is_question(length_q):
            self.working_set, self._steps = None, 0
            keys = self._all_keys(length)[:, :, :length]
            return dense_attention(self._turned(query, first), keys, self._all_values(length), scale)
        if self._attention is not None:
            query, keys = self._turned(query, first), self._kept_keys(length)
            return self._attention(query, keys, self._all_values(length), self.config, scale)
        self._rotated = None
        if length_q == 1:
            return self._decode(query, scale, packed=False)
        self._begin_prefill(self.config)
        return prefill(
            self._turned(query, first), self._all_keys(length), self._whole_values(length), length, self.summaries,
            self.config, scale, self._unrotated(query, packed=False), max(0, self._capacity - length),
        )  # fmt: skip

    def _attend_packed(self, query: Tensor, scale: float) -> Tensor:
        """Attention of query [B, Hq, T, D], the last T cached tokens, at packed positions."""
        self._rotated = None
        length_q = query.shape[2]
        if length_q == 1:
            return self._decode(query, scale, packed=True)
        searches_all = self._is_question(length_q) and self.length - length_q >= self.config.visible_keys
        config = self.config.of_question if searches_all else self.config
        self._begin_prefill(config)
        assert self.rotary is not None
        position = torch.arange(self.length - length_q, self.length, device=query.device)
        begin = position // config.block_q * config.block_q
        base = torch.div(begin - config.window + 1, config.block_k, rounding_mode="floor") * config.block_k
        placed = self.rotary.rotate_at(query, position - base + config.sink + config.top_k, config.packed_length)
        values = self._whole_values(self.length)
        recent = self._recent(query, config.window) if is_split(query, values, config.window) else None
        unrotated = self._unrotated(query, packed=True, recent=recent)
        assert unrotated is not None
        output = query.new_empty(*query.shape[:3], values.shape[3])
        sparse_rows(
            placed, unrotated.key, values, 0, self.length, self.summaries if config.uses_summaries else None, config,
            scale, output, unrotated,
        )  # fmt: skip
        return output

    def _is_question(self, length_q: int) -> bool:
        return self.question and self.config.question == "dense" and 1 < length_q <= QUESTION_ROWS

    def _sliding(self, query: Tensor, scale: float, window: int) -> Tensor:
        first = self.length - query.shape[2]
        start = max(0, first - window + 1)
        keys, values = self._positioned(start, self.length), self.values.part(start, self.length)
        return sliding_attention(self._turned(query, first), keys, values, window, self.config, scale)

    def _begin_prefill(self, config: HipConfig) -> None:
        self.working_set, self._steps = None, 0
        if config.uses_summaries:  # after a session's keys were restored, that is a summary of all of them
            self._summarise()

    def _decode(self, query: Tensor, scale: float, packed: bool) -> Tensor:
        age = self._age(packed)
        if age == 0:
            self._summarise_for(self.length - 1)
        if uses_triton(self.config, query.device):
            return self._decode_with_triton(query, scale, Step.of(self.length, age == 0, query.device), packed)
        if self.working_set is None:
            self.working_set = WorkingSet(self._of_decode, self.rotary, packed)
        if age == 0:
            blocks = None
            config = self._of_decode
            if config.top_k:
                key = self._search_keys() if config.reads_keys else None
                assert isinstance(self.summaries, KeySummaries)
                searched = self._search_query(query)
                blocks = select(searched, Slab(0, self.length - 1, 1, 1), config, self.summaries, key)[:, :, 0]
            self.working_set.refresh(self.keys, self.values, blocks, query.shape[1])
        else:
            self.working_set.append(self.keys, self.values)
        return self.working_set.attend(query, scale)

    def _age(self, packed: bool) -> int:
        """Count a decoded token; returns how many were decoded with the selection it shall use."""
        if packed != self._packed:
            self._packed = packed
            self.working_set, self._steps = None, 0
        age = self._steps % self.config.refresh_interval
        self._steps += 1
        return age

    def _take_step(self, query: Tensor, scale: float, step: Step, dense: bool, sliding_window: int | None) -> Tensor:
        """Attention of the newest token's query [B, Hq, 1, D], as `attend` computes it, without waiting for the device.

        What it computes depends on `stage`, not on the length of the text.
        """
        stage = self.stage
        if sliding_window is not None or stage == "short" or (dense and stage == "sparse"):
            return self._with_triton().recent(query, self.keys, self.values, step, scale, sliding_window)
        if step.refresh:
            self._summarise_for(self.length - 1)
        return self._decode_with_triton(query, scale, step, packed=stage == "packed")

    def _decode_with_triton(self, query: Tensor, scale: float, step: Step, packed: bool) -> Tensor:
        return self._with_triton().sparse(
            query, self.keys, self.values, step, scale, self.summaries, self._search_keys, packed
        )

    def _with_triton(self) -> "LayerDecode":
        from hip_attention.triton_layer import LayerDecode

        if self._layer_decode is None:
            self._layer_decode = LayerDecode(self._of_decode, self.rotary, self._scratch.decode)
        return self._layer_decode

    def _summarise_for(self, position: int) -> None:
        """Bring the key summaries up to date if the token at `position` has key blocks to search that they lack."""
        config = self.config
        blocks = searchable_blocks(position, config.sink, config.window, config.block_k)
        if self.summaries.next_key < config.sink + blocks * config.block_k:
            self._summarise()

    def _summarise(self) -> None:
        """Bring the key summaries up to date with every complete block."""
        begin = self.summaries.next_key
        if self.config.top_k and self.config.uses_summaries and begin + self.config.block_k <= self.length:
            by_content = self.config.packed_from is not None
            read = self.keys.part if by_content else self._positioned
            self.summaries.extend(read(begin, self.length))

    def _search_query(self, query: Tensor) -> Tensor:
        """Query [B, Hq, 1, D], the newest token's, as the search compares it with keys."""
        if self.config.packed_from is None:
            return self._turned(query, self.length - 1)
        assert self.rotary is not None
        return self.rotary.rotate_to(query, self.config.search_distance)

    def _search_keys(self) -> Tensor:
        """Keys [B, Hkv, capacity, D] as the search reads them."""
        return self._all_keys(self.length) if self.config.packed_from is None else self._whole_keys()

    def _recent(self, query: Tensor, window: int) -> Recent:
        """Query [B, Hq, T, D], the last T cached tokens, and the keys in their windows, at true positions."""
        first = self.length - query.shape[2]
        oldest = max(0, first - window)
        return Recent(self._turned(query, first), self._positioned(oldest, self.length), oldest)

    def _unrotated(self, query: Tensor, packed: bool, recent: Recent | None = None) -> Unrotated | None:
        if self.config.packed_from is None:
            return None
        assert self.rotary is not None
        searched = self.rotary.rotate_to(query, self.config.search_distance)
        return Unrotated(searched, self._whole_keys(), self.rotary, packed, recent)

    def _turned(self, x: Tensor, start: int) -> Tensor:
        """x [B, H, T, D] rotated to positions from `start` on."""
        return x if self.rotary is None else self.rotary.rotate(x, start)

    def _positioned(self, start: int, stop: int) -> Tensor:
        """Keys [start, stop) rotated to their true positions."""
        return self._turned(self.keys.part(start, stop), start)

    def _whole_keys(self) -> Tensor:
        """Keys as they arrived [B, Hkv, >= length, D], like those below until another layer asks for its own."""
        return self.keys.whole(self.length, self._scratch.keys)

    def _whole_values(self, length: int) -> Tensor:
        """Values [B, Hkv, >= length, D]."""
        return self.values.whole(length, self._scratch.values)

    def _all_values(self, length: int) -> Tensor:
        """Values [B, Hkv, length, D]."""
        return self._whole_values(length)[:, :, :length]

    def _all_keys(self, length: int) -> Tensor:
        """Keys at true positions [B, Hkv, >= length, D], `length` of them."""
        rotated = self._scratch.rotated
        keys = self.keys.whole(length, rotated)
        if self.rotary is None:
            return keys
        rotated.grow(length, keys)
        self.rotary.rotate(keys[:, :, :length], 0, out=rotated.data[:, :, :length])
        return rotated.data

    def _kept_keys(self, length: int) -> Tensor:
        """Keys at true positions, [B, Hkv, length, D], kept for the next call: dense layers read them all.

        To keep them beside integers would take more memory than those save.
        """
        if self.rotary is None or isinstance(self.keys, QuantizedBuffer):
            return self._all_keys(length)[:, :, :length]
        if self._rotated is None:
            self._rotated = Buffer(true_positions(self.config, self.keys.data.shape[2]))
        if self._rotated.length < length:
            self._rotated.append(self._positioned(self._rotated.length, length))
        return self._rotated.data[:, :, :length]


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
