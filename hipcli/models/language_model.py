"""What the engine needs of a model, whoever runs it, and a model that is ready to be used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from hip_attention.cache.cache import Cache
from hip_attention.cache.layer import SparseAttention
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn
from torch import Tensor

from hipcli.models.plain import Reference


class LanguageModel(Protocol):
    """Token ids in, hidden states and logits out: `decoder.Decoder` or `plugin.PluginModel`."""

    device: torch.device
    dtype: torch.dtype

    @property
    def windows(self) -> Sequence[int | None]:
        """By layer, how many last tokens a row sees; None where it sees all."""

    @property
    def vocabulary(self) -> int:
        """How many tokens have an embedding."""

    def make_cache(
        self,
        config: HipConfig,
        capacity: int = 0,
        *,
        attention: SparseAttention | None = None,
        yarn: Yarn | None = None,
        int8: bool = False,
    ) -> Cache:
        """An empty cache for `capacity` tokens; other arguments as in `Cache`. `yarn` stretches positions.

        Raises ValueError for what the model or the cache cannot do.
        """

    def hidden(self, ids: Tensor, cache: Cache, step: Step) -> Tensor:
        """Last hidden states [T, C] of token ids int64 [T], which come behind those in `cache`."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits float32 [T, vocabulary] of hidden states [T, C]. Raises ValueError where that cannot be told."""

    def next_logits(self, ids: Tensor, cache: Cache, step: Step) -> Tensor:
        """Logits float32 [1, vocabulary] of what follows token ids int64 [T]."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory.

    stops: tokens that end an answer. reference: what it makes of token ids int64 [T], computed without a cache and in
    another way, with positions stretched or not. implementation: who runs it, and `because` why.
    unpacked_because: why its weights are not packed, None where they are.
    """

    name: str
    model: LanguageModel
    stops: frozenset[int]
    reference: Callable[[Tensor, Yarn | None], Reference]
    implementation: Literal["decoder", "transformers"]
    because: str
    unpacked_because: str | None
