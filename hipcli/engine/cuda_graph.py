"""Decode in CUDA graphs: all kernels of a token start at once, where a model's Python starts them one by one."""

import torch
from hip_attention.cache.step import Step
from hip_attention.transformers import HipCache
from torch import Tensor
from transformers import PreTrainedModel


class GraphDecode:
    """Decodes with a model and its cache, token by token: the first of a kind as usual, the others by graphs.

    There is a graph for tokens that select keys anew and one for those that do not; new ones where memory has moved or
    the text has grown so long that layers attend in another way. What cannot be captured, such as a model that waits
    for the device, decodes as usual. `HipCache.can_step` says whether a cache serves.
    """

    def __init__(self, model: PreTrainedModel, cache: HipCache) -> None:
        self._model = model
        self._cache = cache
        self._token = torch.zeros(1, 1, dtype=torch.int64, device=model.device)
        self._step = Step.of(0, True, model.device)
        self._captures = model.device.type == "cuda"
        self._pool = torch.cuda.graph_pool_handle() if self._captures else None
        self._graphs: dict[tuple[str, bool], tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._addresses: list[int] = []

    @torch.inference_mode()
    def __call__(self, token: int) -> Tensor:
        """Append `token` to the cache, which holds others; returns logits [1, vocabulary] in float32.

        They last until the next call.
        """
        refresh = self._cache.lengthen()
        self._token.fill_(token)
        self._step.set(self._cache.get_seq_length(), refresh)
        addresses = self._cache.addresses
        if addresses != self._addresses:
            self._graphs.clear()
            self._addresses = addresses
        kind = self._cache.states[-1].decode.stage, refresh
        if kind not in self._graphs:
            logits = self._forward()
            if self._captures:
                self._capture(kind)
            return logits
        graph, logits = self._graphs[kind]
        graph.replay()
        return logits

    def _forward(self) -> Tensor:
        with self._cache.stepping(self._step):
            output = self._model(
                input_ids=self._token,
                position_ids=self._step.position[None],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _capture(self, kind: tuple[str, bool]) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                logits = self._forward()
        except RuntimeError:
            self._captures = False
            return
        self._graphs[kind] = graph, logits
