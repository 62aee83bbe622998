"""One layer's part in decoding a token with Triton; lengths are read on the device only, as CUDA graphs require."""

from dataclasses import replace

from torch import Tensor

from hip_attention.cache.key_index import KeyIndex
from hip_attention.cache.key_values import KeyValues
from hip_attention.cache.step import DeviceStep
from hip_attention.config import HipConfig
from hip_attention.rope import Rope
from hip_attention.triton_backend.decode import DecodeBuffers
from hip_attention.triton_backend.rope import rotate_row

# Buffers of layers that select nothing, by window and sizes. Layers share them: nothing in them is needed later.
SharedBuffers = dict[tuple[int, ...], DecodeBuffers]


class LayerDecode:
    """Attention of the newest token over cached keys and values, and the selection it keeps between two refreshes.

    config: usually a `HipConfig.of_decode`. With a `rope`, queries and cached keys come before RoPE. All layers get
    the same `shared`; its entries are never removed, because CUDA graphs may use them.
    """

    def __init__(self, config: HipConfig, rope: Rope | None, shared: SharedBuffers) -> None:
        self._config = config
        self._rope = rope
        self._sparse: DecodeBuffers | None = None
        self._shared = shared

    def sparse(
        self, query: Tensor, stored: KeyValues, step: DeviceStep, scale: float, index: KeyIndex, packed: bool
    ) -> Tensor:
        """Attention of query [B, Hq, 1, D] over sink, window and selected keys, at true or `packed` positions.

        `index` is used by steps that refresh. Returns [B, Hq, 1, D].
        """
        config, capacity = self._config, stored.keys.capacity
        if self._sparse is None:
            self._sparse = _buffers(config, query, stored)
        buffers, positions = self._sparse, config.packed_length if packed else capacity
        buffers.length = step.length
        placed = query if packed else self._rotated(query, capacity, -1, buffers.length)
        if step.refresh:
            searched = placed
            if config.packed_from is not None:
                searched = self._rotated(
                    query, config.packed_length, config.search_distance, buffers.length, buffers.length
                )
            by_key = bool(config.top_k) and config.reads_keys
            buffers.refresh(searched, index.summaries, index.keys() if by_key else None)
        if packed:
            placed = self._rotated(query, positions, config.visible_keys - 1, buffers.length, buffers.refreshed)
        return self._attend(buffers, placed, stored, scale, positions, packed)

    def recent(
        self, query: Tensor, stored: KeyValues, step: DeviceStep, scale: float, window: int | None = None
    ) -> Tensor:
        """Attention of query [B, Hq, 1, D] over the last `window` keys, or over all of them. Returns [B, Hq, 1, D]."""
        capacity = stored.keys.capacity
        window = capacity if window is None else min(window, capacity)
        kind = (window, *query.shape[:2], *stored.values.like.shape[1:])
        if kind not in self._shared:
            config = replace(
                self._config, top_k=0, block_q=1, block_k=1, sink=0, window=window, refresh_interval=1, packed_from=None
            )  # fmt: skip
            self._shared[kind] = _buffers(config, query, stored)
        buffers = self._shared[kind]
        buffers.length = buffers.refreshed = step.length
        placed = self._rotated(query, capacity, -1, buffers.length)
        return self._attend(buffers, placed, stored, scale, capacity)

    def _rotated(
        self, query: Tensor, positions: int, offset: int, length: Tensor, since: Tensor | None = None
    ) -> Tensor:
        """As `rotate_row`, to one of `positions` positions, if keys are cached before RoPE."""
        tables = self._tables(query, positions)
        return query if tables is None else rotate_row(query, tables, offset, length, since)

    def _attend(
        self,
        buffers: DecodeBuffers,
        placed: Tensor,
        stored: KeyValues,
        scale: float,
        positions: int,
        packed: bool = False,
    ) -> Tensor:
        """Attention of a rotated query over stored keys; with a rope, to positions below `positions`."""
        output = placed.new_empty(*placed.shape[:3], stored.values.like.shape[3])
        tables = self._tables(placed, positions)
        buffers.attend(placed, stored.keys.raw, stored.values.raw, scale, output, tables, packed)
        return output

    def _tables(self, query: Tensor, positions: int) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine of `positions` positions and more, if keys are cached before RoPE."""
        return None if self._rope is None else self._rope.tables(positions, query)


def _buffers(config: HipConfig, query: Tensor, stored: KeyValues) -> DecodeBuffers:
    batch, heads = query.shape[:2]
    heads_k, dim_v = stored.values.like.shape[1], stored.values.like.shape[3]
    return DecodeBuffers(config, batch, heads, heads_k, dim_v, query.device)
