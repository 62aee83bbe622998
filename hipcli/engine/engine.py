"""Prefill in chunks, then decode: token ids in, events out. The documents are read once for many questions."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from hip_attention.cache.layer import SparseAttention
from hip_attention.config import HipConfig
from hip_attention.transformers import HipCache, prepare_rotary
from hip_attention.yarn import Yarn
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.generation.logits_process import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from hipcli.engine.cuda_graph import GraphDecode
from hipcli.engine.events import Done, Event, FinishReason, PrefillProgress, Token
from hipcli.engine.loops import repeats
from hipcli.errors import ExitCode, HipError
from hipcli.models.norms import fuse_norms
from hipcli.planning.positions import cannot_stretch

CHUNK_CPU = 2048
CHUNK_GPU = 8192


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: the likeliest at temperature 0, else drawn from the top_p nucleus."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


class Engine:
    """One prompt prefix in a cache, and answers to questions asked after it.

    `capacity` is the number of tokens the longest prompt and its answer will take; memory is reserved for it.
    `attention` replaces sparse attention, for evaluation; `yarn` stretches the model's positions; `int8` keeps keys and
    values as integers. The model is prepared for this engine and works with it alone from then on. Raises HipError for
    positions that cannot be stretched, and with exit code 3 for what runs out of memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        config: HipConfig,
        sampling: Sampling = Sampling(),
        capacity: int = 0,
        attention: SparseAttention | None = None,
        yarn: Yarn | None = None,
        int8: bool = False,
    ) -> None:
        fuse_norms(model)
        self._model = model
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._config = config
        try:
            rotaries = prepare_rotary(model, config, capacity, yarn, int8)
        except ValueError as error:
            if yarn is None:
                raise
            raise cannot_stretch(str(error)) from error
        self._cache = HipCache(model.config, config, capacity, rotaries, attention, int8)
        self._graphs = GraphDecode(model, self._cache)
        chunk = CHUNK_CPU if model.device.type == "cpu" else CHUNK_GPU
        self._chunk = max(1, chunk // config.block_q) * config.block_q
        self._stop = _stop_tokens(model, tokenizer)
        self._length = 0  # tokens in the cache
        self._tail: list[int] = []  # tokens of the prefix that are not

    @property
    def length(self) -> int:
        """Tokens in the cache: how much of the prefix is behind, read or restored."""
        return self._length

    def state(self, start: int, stop: int) -> list[dict[str, Tensor]]:
        """What is stored of tokens [start, stop) of the prefix: views by name, a dictionary a layer."""
        return self._cache.state(start, stop)

    @torch.inference_mode()
    def restore(self, state: Sequence[Mapping[str, Tensor]]) -> None:
        """Take over what `state` gave for the next tokens of the same prefix; `read` goes on behind them."""
        device = self._model.device
        self._cache.restore([{name: tensor.to(device) for name, tensor in layer.items()} for layer in state])
        self._length = self._cache.get_seq_length()

    def read(self, ids: Sequence[int]) -> Iterator[PrefillProgress]:
        """Read the prefix all questions share, from where it is not restored.

        A last, incomplete query block is left to be read with each question: then every mask, and so every answer, is
        the one that prefix and question would give if they were read at once.
        """
        whole = len(ids) // self._config.block_q * self._config.block_q
        restored = self._length
        self._tail = list(ids[whole:])
        yield PrefillProgress(restored, len(ids))
        for done in self._feed(ids[restored:whole]):
            yield PrefillProgress(restored + done, len(ids))
        if self._tail:
            yield PrefillProgress(len(ids), len(ids))

    def answer(self, ids: Sequence[int], max_tokens: int) -> Iterator[Event]:
        """Read a question (not empty), decode its answer, and forget both again, so that another can be asked."""
        prefix = self._length
        begin = time.perf_counter()
        try:
            unread = [*self._tail, *ids]
            with self._cache.question():
                for done in self._feed(unread[: self._last_chunk(len(unread))]):
                    yield PrefillProgress(done, len(unread))
                logits = self._forward(unread[self._length - prefix :])
            yield PrefillProgress(len(unread), len(unread))
            prefilled = time.perf_counter()
            decode = self._decode if self._cache.can_step else self._forward
            text = TextStream(self._tokenizer)
            choose = Chooser(self._sampling, self._model.device)
            finish: FinishReason = "length"
            produced: list[int] = []
            while len(produced) < max_tokens:
                token = choose(logits)
                if token in self._stop:
                    finish = "stop"
                    break
                produced.append(token)
                if piece := text.push(token):
                    yield Token(piece)
                if repeats(produced):
                    finish = "repetition"
                    break
                if len(produced) < max_tokens:
                    logits = decode([token])
            if piece := text.flush():
                yield Token(piece)
            yield Done(finish, len(ids), len(produced), prefilled - begin, time.perf_counter() - prefilled)
        finally:
            self._cache.truncate(prefix)
            self._length = prefix

    def _feed(self, ids: Sequence[int]) -> Iterator[int]:
        """Prefill in chunks that end at multiples of the chunk size; yields how many tokens are done."""
        start = 0
        while start < len(ids):
            stop = min(len(ids), start + self._room())
            self._forward(ids[start:stop], logits=False)
            start = stop
            yield start

    def _room(self) -> int:
        """Tokens up to the next multiple of the chunk size."""
        return self._chunk - self._length % self._chunk

    def _last_chunk(self, count: int) -> int:
        """Where the last chunk of `count` tokens begins, the one whose logits are wanted."""
        beyond = count - self._room()
        return 0 if beyond <= 0 else count - ((beyond - 1) % self._chunk + 1)

    def _decode(self, ids: Sequence[int]) -> Tensor:
        """As `_forward` of one token; what it returns lasts until the next call."""
        (token,) = ids
        with self._enough_memory():
            logits = self._graphs(token)
        self._length += 1
        return logits

    @torch.inference_mode()
    def _forward(self, ids: Sequence[int], logits: bool = True) -> Tensor:
        """Append tokens to the cache; returns the last one's logits [1, vocabulary] in fp32 (empty if not asked)."""
        device = self._model.device
        positions = torch.arange(self._length, self._length + len(ids), device=device)[None]
        inputs = {
            "input_ids": torch.tensor([list(ids)], device=device),
            "position_ids": positions,
            "past_key_values": self._cache,
            "use_cache": True,
        }
        with self._enough_memory():
            if logits:
                output: Tensor = self._model(**inputs, logits_to_keep=1).logits[:, -1].float()
            else:
                self._model.get_decoder()(**inputs)
                output = torch.empty(0)
        self._length += len(ids)
        return output

    @contextmanager
    def _enough_memory(self) -> Iterator[None]:
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError) as error:
            message = f"out of memory after {self._length:,} prompt tokens"
            raise HipError(message, "read fewer pages or choose a smaller --model", ExitCode.DOES_NOT_FIT) from error


class Chooser:
    """Picks the next token; one random stream an answer, so that a seed repeats it."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self._warpers = None
        if sampling.temperature > 0:
            self._warpers = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
            if sampling.top_p < 1:
                self._warpers.append(TopPLogitsWarper(sampling.top_p))
            self._generator = torch.Generator(device)
            if sampling.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(sampling.seed)

    def __call__(self, logits: Tensor) -> int:
        """Token id for logits [1, vocabulary]. Raises HipError where the largest is no number, as NaN would be."""
        largest, likeliest = torch.cat([x.double() for x in logits.max(-1)]).tolist()  # waits for the device once
        if not math.isfinite(largest):
            raise HipError("the model produced no usable numbers", "try --dtype float32 or another --model")
        if self._warpers is None:
            return int(likeliest)
        scores = self._warpers(torch.empty(1, 0, dtype=torch.long), logits)
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self._generator))


class TextStream:
    """Text of a growing token sequence, piece by piece, never half a character."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._shown = 0  # tokens whose text is out
        self._context = 0  # from here on tokens are decoded again, because spaces depend on neighbours

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        self._ids.append(token)
        return self._next(final=False)

    def flush(self) -> str:
        """What is left at the end."""
        return self._next(final=True)

    def _next(self, final: bool) -> str:
        before = self._decode(self._ids[self._context : self._shown])
        after = self._decode(self._ids[self._context :])
        if not final and after.endswith("\ufffd"):
            return ""
        self._context, self._shown = self._shown, len(self._ids)
        return after[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


def _stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Every token that ends an answer, by the generation settings, the model and the tokenizer."""
    stops: set[int] = set()
    for owner in (model.generation_config, model.config.get_text_config(decoder=True), tokenizer):
        ids = getattr(owner, "eos_token_id", None)
        stops.update([ids] if isinstance(ids, int) else ids or [])
    return stops
