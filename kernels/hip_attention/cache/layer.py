"""One layer of attention over its cached keys and values: prefill in chunks, questions, decode."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hip_attention.attention import NEEDS_ROPE, Unrotated, prefill, sliding_attention, sparse_rows
from hip_attention.backend import has_kernels
from hip_attention.cache.decode import Decode
from hip_attention.cache.key_index import KeyIndex
from hip_attention.cache.key_values import KeyValues, Scratch
from hip_attention.cache.query_log import QueryLog, key_mass
from hip_attention.cache.step import CacheError, DeviceStep, Step
from hip_attention.config import HipConfig
from hip_attention.plan import packed_start, sparse_start
from hip_attention.rope import Rope
from hip_attention.torch_backend.attend import Recent, is_split
from hip_attention.torch_backend.dense import dense_attention

# attention(query [B, Hq, Tq, D], key, value [B, Hkv, Tk, D], config, scale) -> [B, Hq, Tq, D], keys at true positions
SparseAttention = Callable[[Tensor, Tensor, Tensor, HipConfig, float], Tensor]


QUESTION_ROWS = 1024  # a longer question is read like a document, because every dense row reads all keys


class LayerCache:
    """Keys and values of one attention layer in preallocated memory, and attention over them.

    With a `rope`, queries and keys arrive before RoPE. Keys are rotated to their true positions and then stored; where
    `config.caches_unrotated`, they are stored before RoPE, which is applied when they are read, at true or packed
    positions. Without a `rope`, they arrive rotated. With `int8`, keys and values are stored as int8 (see
    `cache.int8`). `dense` lets rows attend to everything, before `packed_from`. `attention` replaces sparse attention,
    in prefill and decode, by a function of tensors. Batch and heads are those of the first keys. No gradients.
    Raises ValueError if `packed_from` is set without a `rope`.
    """

    def __init__(
        self,
        config: HipConfig,
        capacity: int = 0,
        rope: Rope | None = None,
        scratch: Scratch | None = None,
        attention: SparseAttention | None = None,
        int8: bool = False,
        dense: bool = False,
    ) -> None:
        if config.packed_from is not None and rope is None:
            raise ValueError(NEEDS_ROPE)
        late = config.caches_unrotated(int8)
        self.config = config
        self._capacity = capacity
        self._arriving = None if late else rope  # applied to keys as they arrive
        self._reading = rope if late else None  # applied to keys as they are read
        self._dense = dense
        self._attention = attention
        scratch = scratch or Scratch.of(config, capacity)
        self.stored = KeyValues(config, capacity, self._reading, scratch, int8)
        self.index = KeyIndex(config, self.stored, self._reading, capacity)
        self.decode = Decode(config, self.stored, self.index, self._reading, scratch.decode)
        self.queries = QueryLog()

    @property
    def length(self) -> int:
        """Number of cached tokens."""
        return self.stored.length

    def advance(self) -> bool:
        """Count the next token, which a `DeviceStep` decodes. Returns whether it selects keys again."""
        if self.index.summaries.next_key > self.config.sink:
            self.index.update_for(self.length)
        self.stored.advance()
        return self.decode.count()

    @property
    def device(self) -> torch.device:
        """Where keys and values are; there must be some."""
        return self.stored.keys.like.device

    @property
    def addresses(self) -> tuple[int, int, int, int]:
        """Addresses of keys, values and summaries, which kernels read, and the generation of the queries that are kept.

        They change when memory grows.
        """
        return *self.stored.addresses, self.index.summaries.address, self.queries.generation

    @property
    def can_step(self) -> bool:
        """Whether a `DeviceStep` can decode the next token: with Triton kernels that read lengths on the device."""
        config = self.decode.config
        searches = config.backend != "dense" and config.top_k > 0
        if self._attention is not None or self.length == 0 or (searches and config.reads_keys):
            return False
        return has_kernels(config, self.stored.keys.like.device)

    def export(self, start: int, stop: int) -> dict[str, Tensor]:
        """Named views of tokens [start, stop) as they are stored; most are [B, Hkv, stop - start, *]."""
        return self.stored.export(start, stop)

    @torch.no_grad()
    def restore(self, tokens: dict[str, Tensor]) -> None:
        """Append tokens as `export` returned them for a cache with the same settings.

        Summaries and selections are computed again when they are needed.
        """
        if self.length == 0:
            self.index.begin(next(iter(tokens.values())).device)
        self.stored.restore(tokens)

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        self.stored.truncate(length)
        self.index.summaries.truncate(length)
        self.decode.reset()

    @torch.no_grad()
    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: Step,
        *,
        scale: float,
        sliding_window: int | None = None,
    ) -> Tensor:
        """Store keys and values [B, Hkv, T, D] of the next T tokens; attention of their queries [B, Hq, T, D].

        With `sliding_window`, a query attends to exactly that many last keys. Returns [B, Hq, T, D].
        Raises CacheError unless the layer holds exactly the tokens before these, and these are `step.count`.
        """
        self._check(key, step)
        if step.device is not None:
            query, key = self._rotated(query, key, step.start, step.device)
            self._keep(query, scale, step, sliding_window)
            self.stored.put(key, value, step.device.position)
            return self.decode.step(query, scale, step.device, self._dense, sliding_window)
        if self.length == 0:
            self.index.begin(key.device)
        query, key = self._rotated(query, key, step.start)
        self._keep(query, scale, step, sliding_window)
        self.stored.append(key, value)
        if sliding_window is not None:
            return self._sliding(query, scale, sliding_window)
        length_q = query.shape[2]
        start = packed_start(length_q, self.length, self.config)
        if start == 0:
            return self._attend_packed(query, scale, step)
        exact = self._attend_exactly(query[:, :, :start], self.length - length_q + start, scale, step)
        if start == length_q:
            return exact
        return torch.cat((exact, self._attend_packed(query[:, :, start:], scale, step)), 2)

    def mass(self, parts: Sequence[Sequence[int]], stop: int) -> Tensor:
        """How much attention the first `stop` keys get from the tokens of each part, whose queries are kept.

        A part has positions of tokens. Queries and keys are compared as the search compares them: before RoPE where
        positions are packed. Returns float32 [parts, Hq, stop]: see `key_mass`. Raises ValueError where no queries are
        kept.
        """
        if not self.queries.keeps:
            raise ValueError("no queries are kept")
        base = self.queries.base
        rows = self.index.query(self.queries.rows(self.length - base))
        keys = self.index.keys()[:, :, : self.length]
        kept = [[position - base for position in part] for part in parts]
        return key_mass(rows, keys, self.queries.scale, kept, stop)

    def _keep(self, query: Tensor, scale: float, step: Step, sliding_window: int | None) -> None:
        if self.queries.keeps and sliding_window is None and step.start + step.count > self.queries.base:
            self.queries.put(query, step.start, scale, step.device)

    def _check(self, key: Tensor, step: Step) -> None:
        held = self.length - (step.device is not None)
        if held != step.start or key.shape[2] != step.count:
            raise CacheError(
                f"{key.shape[2]} tokens come after {held} that are cached, where {step.count} after {step.start} "
                "were counted"
            )

    def _rotated(
        self, query: Tensor, key: Tensor, start: int, device: DeviceStep | None = None
    ) -> tuple[Tensor, Tensor]:
        """Query and key of tokens from position `start` on, as they are stored and searched."""
        rope = self._arriving
        if rope is None:
            return query, key
        if has_kernels(self.config, query.device):
            from hip_attention.triton_backend.rope import rotate_pair

            # CUDA graphs keep the addresses of the tables, which may therefore change only when those of keys do.
            reserved = self.stored.capacity if device is not None else start + query.shape[2]
            tables = rope.tables(max(reserved, self._capacity), query)
            return rotate_pair(query, key, tables, start if device is None else device.position)
        return rope.apply(query, start), rope.apply(key, start)

    def _attend_exactly(self, query: Tensor, length: int, scale: float, step: Step) -> Tensor:
        """Attention at true positions of query [B, Hq, T, D] of the last T of the first `length` cached tokens."""
        length_q, stored = query.shape[2], self.stored
        first = length - length_q
        decodes = _decodes(length_q, step)
        config = self.decode.config if decodes else self.config
        if self._dense or sparse_start(length_q, length, config) == length_q:
            keys = stored.kept_keys(length)
            return dense_attention(stored.apply_rope(query, first), keys, stored.all_values(length), scale)
        if self._is_question(length_q, step):
            self.decode.reset()
            keys = stored.all_keys(length)[:, :, :length]
            return dense_attention(stored.apply_rope(query, first), keys, stored.all_values(length), scale)
        if self._attention is not None:
            query, keys = stored.apply_rope(query, first), stored.kept_keys(length)
            return self._attention(query, keys, stored.all_values(length), self.config, scale)
        stored.let_go()
        if decodes:
            return self.decode.sparse(query, scale, packed=False)
        self._begin_prefill(self.config)
        return prefill(
            stored.apply_rope(query, first), stored.all_keys(length), stored.whole_values(length), length,
            self.index.summaries, self.config, scale, self._unrotated(query, packed=False),
            max(0, self._capacity - length),
        )  # fmt: skip

    def _attend_packed(self, query: Tensor, scale: float, step: Step) -> Tensor:
        """Attention at packed positions of query [B, Hq, T, D] of the last T cached tokens."""
        self.stored.let_go()
        length_q = query.shape[2]
        if _decodes(length_q, step):
            return self.decode.sparse(query, scale, packed=True)
        searches_all = self._is_question(length_q, step) and self.length - length_q >= self.config.visible_keys
        config = self.config.of_question if searches_all else self.config
        self._begin_prefill(config)
        assert self._reading is not None
        position = torch.arange(self.length - length_q, self.length, device=query.device)
        begin = position // config.block_q * config.block_q
        base = torch.div(begin - config.window + 1, config.block_k, rounding_mode="floor") * config.block_k
        placed = self._reading.apply_at(query, position - base + config.sink + config.top_k, config.packed_length)
        values = self.stored.whole_values(self.length)
        recent = self._recent(query, config.window) if is_split(query, values, config.window) else None
        unrotated = self._unrotated(query, packed=True, recent=recent)
        assert unrotated is not None
        output = query.new_empty(*query.shape[:3], values.shape[3])
        summaries = self.index.summaries if config.uses_summaries else None
        sparse_rows(placed, unrotated.key, values, 0, self.length, summaries, config, scale, output, unrotated)
        return output

    def _is_question(self, length_q: int, step: Step) -> bool:
        return step.question and self.config.question == "dense" and length_q <= QUESTION_ROWS

    def _sliding(self, query: Tensor, scale: float, window: int) -> Tensor:
        first = self.length - query.shape[2]
        start = max(0, first - window + 1)
        keys, values = self.stored.positioned(start, self.length), self.stored.values.part(start, self.length)
        return sliding_attention(self.stored.apply_rope(query, first), keys, values, window, self.config, scale)

    def _begin_prefill(self, config: HipConfig) -> None:
        self.decode.reset()
        if config.uses_summaries:
            self.index.update()

    def _recent(self, query: Tensor, window: int) -> Recent:
        """Query [B, Hq, T, D] of the last T cached tokens, and the keys in their windows, at true positions."""
        first = self.length - query.shape[2]
        oldest = max(0, first - window)
        return Recent(self.stored.apply_rope(query, first), self.stored.positioned(oldest, self.length), oldest)

    def _unrotated(self, query: Tensor, packed: bool, recent: Recent | None = None) -> Unrotated | None:
        if self.config.packed_from is None:
            return None
        assert self._reading is not None
        return Unrotated(self.index.query(query), self.stored.whole_keys(), self._reading, packed, recent)


def _decodes(length_q: int, step: Step) -> bool:
    """Whether a row is a decoded token; a question may end in a chunk of one token, too."""
    return length_q == 1 and not step.question
