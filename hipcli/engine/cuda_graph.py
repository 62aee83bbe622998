"""Decode in CUDA graphs: all kernels of a token start at once, where a model's Python starts them one by one."""

import torch
from hip_attention.cache.cache import Cache
from hip_attention.cache.step import DeviceStep, Step
from torch import Tensor

from hipcli.errors import first_line
from hipcli.models.language_model import LanguageModel


class GraphDecode:
    """Decodes with a model and its cache, token by token: the first of a kind as usual, the others by graphs.

    There is a graph for tokens that select keys again and one for those that do not; new ones where memory has moved or
    the text has grown so long that layers attend in another way. A model that cannot be captured, such as one that
    waits for the device, decodes as usual; `eager_because` then says why. `Cache.can_step` says whether a cache serves.
    """

    def __init__(self, model: LanguageModel, cache: Cache, capture: bool = True) -> None:
        self._model = model
        self._cache = cache
        self._token = torch.zeros(1, dtype=torch.int64, device=model.device)
        self._step = DeviceStep.of(0, True, model.device)
        self._graphs: dict[tuple[str, bool], tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._addresses: list[int] = []
        self.eager_because: str | None = None
        if model.device.type != "cuda":
            self.eager_because = "CUDA graphs need a CUDA device"
        elif not capture:
            self.eager_because = "too few tokens are decoded"

    @property
    def captured(self) -> int:
        """Number of graphs in use."""
        return len(self._graphs)

    def __call__(self, token: int) -> Tensor:
        """Append `token` to the cache, which holds others; returns logits [1, vocabulary] in float32.

        They last until the next call.
        """
        refresh = self._cache.advance()
        self._token.fill_(token)
        self._step.set(self._cache.length, refresh)
        addresses = self._cache.addresses
        if addresses != self._addresses:
            self._graphs.clear()
            self._addresses = addresses
        kind = self._cache.layers[-1].decode.stage, refresh
        if kind not in self._graphs:
            logits = self._forward()
            if self.eager_because is None:
                self._capture(kind)
            return logits
        graph, logits = self._graphs[kind]
        graph.replay()
        return logits

    def _forward(self) -> Tensor:
        step = Step(self._cache.length - 1, 1, device=self._step)
        return self._model.next_logits(self._token, self._cache, step)

    def _capture(self, kind: tuple[str, bool]) -> None:
        graph = torch.cuda.CUDAGraph()
        # Graphs share memory with those that live; without one, a pool that was theirs must not be used again.
        pool = next(iter(self._graphs.values()))[0].pool() if self._graphs else None
        try:
            with torch.cuda.graph(graph, pool=pool):
                logits = self._forward()
        except RuntimeError as error:
            self.eager_because = f"the model cannot be captured: {first_line(error)}"
            return
        self._graphs[kind] = graph, logits
