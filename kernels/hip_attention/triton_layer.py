"""One layer's share of decoding a token with Triton; no length is known to the host, as a CUDA graph requires."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hip_attention.backend import Summaries
from hip_attention.config import HipConfig
from hip_attention.quantized import Stored
from hip_attention.rotary import Rotary
from hip_attention.step import Step
from hip_attention.triton_decode import DecodeState


class LayerDecode:
    """Attention of the newest token over cached keys and values, and the selection it keeps between two refreshes.

    config: as a rule a `HipConfig.of_decode`. With a `rotary` queries, and keys in the cache, are yet to be rotated.
    """

    def __init__(self, config: HipConfig, rotary: Rotary | None) -> None:
        self._config = config
        self._rotary = rotary
        self._sparse: DecodeState | None = None
        self._recent: DecodeState | None = None

    def sparse(
        self,
        query: Tensor,
        keys: Stored,
        values: Stored,
        step: Step,
        scale: float,
        summaries: Summaries,
        search_keys: Callable[[], Tensor],
        packed: bool,
    ) -> Tensor:
        """Attention of query [B, Hq, 1, D] over sink, window and selected keys, at true or `packed` positions.

        `summaries` and, for selectors that read them, `search_keys` [B, Hkv, capacity, D] serve a step that refreshes.
        Returns [B, Hq, 1, D].
        """
        config = self._config
        if self._sparse is None:
            self._sparse = _state(config, query, values)
        state = self._sparse
        state.length = step.length
        if step.refresh:
            by_key = bool(config.top_k) and config.reads_keys
            state.refresh(self._searched(query, keys, step), summaries, search_keys() if by_key else None)
        if packed:
            position = (state.length - state.refreshed).long() + (config.visible_keys - 1)
            return self._attend(state, query, position, config.packed_length, keys, values, scale, packed)
        return self._attend(state, query, step.position, keys.capacity, keys, values, scale, packed)

    def recent(
        self, query: Tensor, keys: Stored, values: Stored, step: Step, scale: float, window: int | None = None
    ) -> Tensor:
        """Attention of query [B, Hq, 1, D] over the last `window` keys, or over all of them. Returns [B, Hq, 1, D]."""
        window = keys.capacity if window is None else min(window, keys.capacity)
        if self._recent is None or self._recent.config.window != window:
            config = replace(
                self._config, top_k=0, block_q=1, block_k=1, sink=0, window=window, refresh_interval=1, packed_from=None
            )  # fmt: skip
            self._recent = _state(config, query, values)
        state = self._recent
        state.length = state.refreshed = step.length
        return self._attend(state, query, step.position, keys.capacity, keys, values, scale, packed=False)

    def _attend(
        self,
        state: DecodeState,
        query: Tensor,
        position: Tensor,
        positions: int,
        keys: Stored,
        values: Stored,
        scale: float,
        packed: bool,
    ) -> Tensor:
        tables = None
        if self._rotary is not None:
            tables = self._rotary.cover(positions, query)
            query = self._rotary.rotate_at(query, position, positions)
        output = torch.empty(*query.shape[:3], values.like.shape[3], dtype=query.dtype, device=query.device)
        state.attend(query, keys.raw, values.raw, scale, output, tables, packed)
        return output

    def _searched(self, query: Tensor, keys: Stored, step: Step) -> Tensor:
        """Query [B, Hq, 1, D] as the search compares it with keys."""
        if self._rotary is None:
            return query
        if self._config.packed_from is not None:
            return self._rotary.rotate_to(query, self._config.search_distance)
        return self._rotary.rotate_at(query, step.position, keys.capacity)


def _state(config: HipConfig, query: Tensor, values: Stored) -> DecodeState:
    batch, heads = query.shape[:2]
    heads_k, dim_v = values.like.shape[1], values.like.shape[3]
    return DecodeState(config, batch, heads, heads_k, dim_v, query.device)
