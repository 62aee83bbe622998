"""The keys and values of all layers of a model, and attention over them."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from hip_attention.cache.key_values import Scratch
from hip_attention.cache.layer import LayerCache, SparseAttention
from hip_attention.cache.step import CacheError, Step
from hip_attention.config import HipConfig
from hip_attention.rope import Rope


class Cache:
    """A LayerCache for each of `layers` layers, which share scratch memory.

    capacity: number of tokens that the context will have, for which memory is reserved; it also decides how the context
        is read (see `HipConfig.for_context`). For more tokens memory grows.
    ropes: one per layer where queries and keys arrive before RoPE; None where the model applies RoPE.
    attention: replaces sparse attention in the layers that would use it, for experiments (see `LayerCache`).
    int8: store keys and values as int8 in all layers but the first `config.full_layers`.

    Raises ValueError for int8 keys and values under dense attention, which reads all of them at every token.
    """

    def __init__(
        self,
        layers: int,
        config: HipConfig,
        capacity: int = 0,
        ropes: Sequence[Rope] | None = None,
        attention: SparseAttention | None = None,
        int8: bool = False,
    ) -> None:
        if int8 and config.backend == "dense":
            raise ValueError(
                "int8 keys and values need sparse attention: dense attention reads all of them at every token"
            )
        self.config = config.for_context(capacity)
        scratch = Scratch.of(self.config, capacity)
        self.layers = [
            LayerCache(
                self.config, capacity, ropes[i] if ropes else None, scratch, attention,
                int8=int8 and i >= self.config.full_layers,
                dense=self.config.backend == "dense" or i < self.config.dense_layers,
            )
            for i in range(layers)
        ]  # fmt: skip

    @property
    def length(self) -> int:
        """Number of cached tokens."""
        return self.layers[0].length

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: Step,
        *,
        scale: float,
        sliding_window: int | None = None,
    ) -> Tensor:
        """Store the new keys and values of a layer and attend over all of them: see `LayerCache.attend`."""
        return self.layers[layer].attend(query, key, value, step, scale=scale, sliding_window=sliding_window)

    def check(self, length: int) -> None:
        """Raise CacheError unless every layer holds exactly `length` tokens."""
        for index, layer in enumerate(self.layers):
            if layer.length != length:
                raise CacheError(f"layer {index} holds {layer.length} tokens where {length} were read")

    @property
    def can_step(self) -> bool:
        """Whether a `DeviceStep` can decode the next token."""
        return self.layers[0].can_step  # asked at every token, and the same in all layers

    @property
    def addresses(self) -> list[int]:
        """Addresses of the memory that kernels read; they change when that memory grows."""
        return [address for layer in self.layers for address in layer.addresses]

    def keep_queries(self, layers: Sequence[int], base: int, room: int) -> None:
        """Keep the queries that `layers` get for up to `room` tokens from position `base` on, for `LayerCache.mass`.

        Layers with a sliding window keep none. `forget_queries` ends it.
        """
        for layer in layers:
            self.layers[layer].queries.begin(base, room)

    def forget_queries(self) -> None:
        """Keep no queries any more."""
        for layer in self.layers:
            layer.queries.end()

    def advance(self) -> bool:
        """Count the next token in every layer, for a `DeviceStep`; returns whether it selects keys again."""
        return [layer.advance() for layer in self.layers][-1]

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on, in every layer."""
        for layer in self.layers:
            layer.truncate(length)

    def export(self, start: int, stop: int) -> list[dict[str, Tensor]]:
        """What every layer stores of tokens [start, stop), as named views (see `LayerCache.export`)."""
        return [layer.export(start, stop) for layer in self.layers]

    def restore(self, tokens: Sequence[Mapping[str, Tensor]]) -> None:
        """Append tokens as `export` returned them for the same tokens and settings."""
        for layer, stored in zip(self.layers, tokens, strict=True):
            layer.restore(dict(stored))
