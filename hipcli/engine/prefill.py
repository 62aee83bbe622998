"""Tokens read one after the other into a cache: prompts in chunks, answers token by token."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from hip_attention.cache.layer import SparseAttention
from hip_attention.cache.step import CacheError, Step
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn
from torch import Tensor

from hipcli.engine.cuda_graph import GraphDecode
from hipcli.errors import ExitCode, HipError
from hipcli.models.language_model import LanguageModel

CHUNK_CPU = 2048
CHUNK_GPU = 8192


class Context:
    """What a model has read so far, and reading more.

    `capacity` is the number of tokens that the context will have; memory is reserved for it. `attention`, `yarn` and
    `int8` are those of `LanguageModel.make_cache`. `chunk_tokens` are read at a time, rounded down to whole query
    blocks; chunks end at its multiples, so that a prompt can be read in any portions. `capture` makes CUDA graphs of
    decode, which pays from some ten tokens on. Raises ValueError for positions that cannot be stretched. After every
    forward pass, and whenever tokens are forgotten or restored, the cache must hold what was counted: HipError
    otherwise, and with exit code 3 when memory runs out. HipError, too, for tokens that the model has no embedding for.
    """

    def __init__(
        self,
        model: LanguageModel,
        config: HipConfig,
        capacity: int = 0,
        *,
        attention: SparseAttention | None = None,
        yarn: Yarn | None = None,
        int8: bool = False,
        chunk_tokens: int | None = None,
        capture: bool = True,
    ) -> None:
        self._model = model
        self.cache = model.make_cache(config, capacity, attention=attention, yarn=yarn, int8=int8)
        self.graphs = GraphDecode(model, self.cache, capture)
        chunk = chunk_tokens or (CHUNK_CPU if model.device.type == "cpu" else CHUNK_GPU)
        self._chunk = max(1, chunk // config.block_q) * config.block_q
        self.length = 0  # tokens in the cache
        self._can_step = True  # so far as is known

    def fill(self, ids: Sequence[int], question: bool = False) -> Iterator[int]:
        """Read tokens in chunks; yields how many of them are done."""
        for start, stop in self._chunks(len(ids)):
            self._hidden(ids[start:stop], question)
            yield stop

    def hidden(self, ids: Sequence[int], question: bool = False) -> Tensor:
        """Read tokens in chunks; returns their last hidden states [T, C]."""
        return torch.cat([self._hidden(ids[start:stop], question) for start, stop in self._chunks(len(ids))])

    def last_chunk(self, count: int) -> int:
        """Where the last chunk of the next `count` tokens begins."""
        return list(self._chunks(count))[-1][0]

    def next_logits(self, ids: Sequence[int], question: bool = False) -> Tensor:
        """Read the tokens of one chunk; returns logits float32 [1, vocabulary] of what follows them."""
        with self._forward(len(ids), question) as step:
            return self._model.next_logits(self._tensor(ids), self.cache, step)

    def decode(self, token: int) -> Tensor:
        """Append a token to a context that is not empty; returns logits [1, vocabulary], which last until the next."""
        self._require_known(token)
        with self._forward(1) as step:
            self._can_step = self.cache.can_step
            if self._can_step:
                return self.graphs(token)
            return self._model.next_logits(self._tensor([token]), self.cache, step)

    @property
    def eager_because(self) -> str | None:
        """Why the last token was decoded without CUDA graphs; None where graphs are used."""
        if self.graphs.eager_because is None and not self._can_step:
            return "the attention asked for waits for the host at every token"
        return self.graphs.eager_because

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        self.cache.truncate(length)
        self.length = length
        self._check()

    def export(self, start: int, stop: int) -> list[dict[str, Tensor]]:
        """What is stored of tokens [start, stop): views by name, a dictionary a layer."""
        return self.cache.export(start, stop)

    def restore(self, tokens: Sequence[Mapping[str, Tensor]]) -> None:
        """Take over what `export` gave for the next tokens."""
        device = self._model.device
        self.cache.restore([{name: tensor.to(device) for name, tensor in layer.items()} for layer in tokens])
        self.length = self.cache.length
        self._check()

    def _chunks(self, count: int) -> Iterator[tuple[int, int]]:
        """[start, stop) of the chunks that the next `count` tokens are read in."""
        start, length = 0, self.length
        while start < count:
            stop = min(count, start + self._chunk - (length + start) % self._chunk)
            yield start, stop
            start = stop

    def _hidden(self, ids: Sequence[int], question: bool) -> Tensor:
        with self._forward(len(ids), question) as step:
            return self._model.hidden(self._tensor(ids), self.cache, step)

    def _tensor(self, ids: Sequence[int]) -> Tensor:
        self._require_known(max(ids))
        return torch.tensor(ids, dtype=torch.int64, device=self._model.device)

    def _require_known(self, token: int) -> None:
        if token >= self._model.vocabulary:
            # On a GPU looking it up would end the process, or at least all further work.
            message = f"token {token:,} is beyond the {self._model.vocabulary:,} that the weights know"
            raise HipError(f"{message}: the model's tokenizer and weights do not belong together", _DOWNLOAD_HINT)

    @contextmanager
    def _forward(self, count: int, question: bool = False) -> Iterator[Step]:
        """One forward pass of `count` tokens, counted and checked afterwards."""
        try:
            with torch.inference_mode():
                yield Step(self.length, count, question)
        except (torch.OutOfMemoryError, MemoryError) as error:
            message = f"out of memory after {self.length:,} prompt tokens"
            raise HipError(message, "read fewer pages or choose a smaller --model", ExitCode.DOES_NOT_FIT) from error
        except CacheError as error:
            raise _broken(error) from error
        self.length += count
        self._check()

    def _check(self) -> None:
        try:
            self.cache.check(self.length)
        except CacheError as error:
            raise _broken(error) from error


_DOWNLOAD_HINT = "download the model again, completely, or use another --model"
BROKEN_HINT = "hip's answers would be wrong; run `hip doctor`, and report this"


def _broken(error: CacheError) -> HipError:
    return HipError(f"keys and values are not those of the text: {error}", BROKEN_HINT)
