"""Documents and a question in, an answer as events out. The documents are read once for many questions."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from hip_attention.cache.layer import SparseAttention
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn
from torch import Tensor

from hipcli.engine.events import Done, Event, FinishReason, PrefillProgress, Token
from hipcli.engine.loops import repeats
from hipcli.engine.no_answer import may_be_none, no_answer
from hipcli.engine.prefill import Context
from hipcli.engine.repetition import Kinds
from hipcli.engine.sampling import Chooser, Sampling
from hipcli.engine.text_stream import TextStream
from hipcli.engine.watch import Watch, Watcher
from hipcli.models.language_model import LoadedModel
from hipcli.planning.positions import stretching
from hipcli.prompt.tokenizer import Tokenizer
from hipcli.structured.grammar import Grammar
from hipcli.structured.strings import OpenString


class Engine:
    """One prompt prefix in a cache, and answers to questions asked after it.

    `capacity` is the number of tokens the longest prompt and its answer will take. `attention` replaces sparse
    attention, for evaluation; `yarn` stretches the model's positions; `int8` keeps keys and values as int8;
    `chunk_tokens` are read at a time; answers follow the `grammar`, if there is one. Raises HipError for positions that
    cannot be stretched, and as `Context` does.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        tokenizer: Tokenizer,
        config: HipConfig,
        sampling: Sampling | None = None,
        capacity: int = 0,
        attention: SparseAttention | None = None,
        yarn: Yarn | None = None,
        int8: bool = False,
        chunk_tokens: int | None = None,
        grammar: Grammar | None = None,
    ) -> None:
        self._device = loaded.model.device
        self._windows = loaded.model.windows
        self._tokenizer = tokenizer
        self.sampling = sampling or Sampling()
        self._kinds = Kinds(tokenizer)
        self._grammar = grammar
        self._block_q = config.block_q
        with stretching(yarn):
            self.context = Context(
                loaded.model, config, capacity, attention=attention, yarn=yarn, int8=int8, chunk_tokens=chunk_tokens
            )
        self._stops = loaded.stops | ({tokenizer.eos_id} if tokenizer.eos_id is not None else set())
        self._tail: list[int] = []  # tokens of the prefix that are not in the cache

    @property
    def length(self) -> int:
        """Tokens in the cache: how much of the prefix is behind, read or restored."""
        return self.context.length

    @property
    def eager_because(self) -> str | None:
        """Why tokens were decoded without CUDA graphs; None where graphs were used."""
        return self.context.eager_because

    def export(self, start: int, stop: int) -> list[dict[str, Tensor]]:
        """What is stored of tokens [start, stop) of the prefix: views by name, a dictionary a layer."""
        return self.context.export(start, stop)

    def restore(self, tokens: Sequence[Mapping[str, Tensor]]) -> None:
        """Take over what `export` gave for the next tokens of the same prefix; `read` goes on behind them."""
        self.context.restore(tokens)

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        self.context.truncate(length)

    def read(self, ids: Sequence[int], to_the_end: bool = False) -> Iterator[PrefillProgress]:
        """Read the prefix all questions share, from where it is not restored.

        A last, incomplete query block is left to be read with each question: then every mask, and so every answer, is
        the one that prefix and question would give if they were read at once. `to_the_end` reads it, too, once, for a
        conversation in which nothing is read again.
        """
        whole = len(ids) if to_the_end else len(ids) // self._block_q * self._block_q
        restored = self.length
        self._tail = list(ids[whole:])
        yield PrefillProgress(restored, len(ids))
        for done in self.context.fill(ids[restored:whole]):
            yield PrefillProgress(restored + done, len(ids))
        if self._tail:
            yield PrefillProgress(len(ids), len(ids))

    def answer(
        self,
        ids: Sequence[int],
        max_tokens: int,
        watch: Watch | None = None,
        *,
        keeps: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        """Read a question (not empty), decode its answer, and forget both again, so that another can be asked.

        With `watch`, find out what attention the answer paid to parts of the prefix. With `keeps`, both stay, and what
        is asked next comes behind them; the last of `Done.tokens` may not be among what is read, which `length` tells.
        `stopped` is asked before every token whether the answer is to end.
        """
        prefix = self.length
        begin = time.perf_counter()
        watcher = None
        if watch is None:
            self.context.cache.forget_queries()
        else:
            base = prefix + len(self._tail)
            watcher = Watcher(self.context.cache, self._windows, watch, base, len(ids), max_tokens)
        try:
            unread = [*self._tail, *ids]
            last = self.context.last_chunk(len(unread))
            for done in self.context.fill(unread[:last], question=True):
                yield PrefillProgress(done, len(unread))
            constraint = self._grammar.begin() if self._grammar else None
            choose = Chooser(self.sampling, self._device, self._kinds, constraint)
            token = choose(self.context.next_logits(unread[last:], question=True))  # waits for the device
            yield PrefillProgress(len(unread), len(unread))
            prefilled = time.perf_counter()
            stream = TextStream(self._tokenizer)
            finish: FinishReason = "length"
            produced: list[int] = []
            said: Sequence[int] = produced  # what is not to be said over and over
            string = OpenString()
            text = held = ""
            while True:
                if stopped():
                    finish = "interrupted"
                    break
                if token in self._stops:
                    finish = "stop"
                    break
                produced.append(token)
                piece = stream.push(token)
                text, held = text + piece, held + piece
                if held and (constraint or not (text == held and may_be_none(text, produced))):
                    yield Token(held)
                    held = ""
                if constraint:
                    string.push(piece, len(produced))
                    said = string.said(produced)
                    if constraint.is_over:
                        finish = "stop"
                        break
                if repeats(said):
                    finish = "repetition"
                    break
                if len(produced) == max_tokens:
                    break
                token = choose(self.context.decode(token), said)
            piece = stream.flush()
            if constraint is None:
                fault = no_answer(text + piece, produced)
            else:
                fault = None if finish == "stop" else "the answer ends before its JSON does"
            if (held or piece) and (fault is None or constraint):
                yield Token(held + piece)
            decoded = time.perf_counter()
            masses, watch_s = None, 0.0
            if watcher is not None:
                masses = watcher.masses()
                watch_s = time.perf_counter() - decoded
            times = prefilled - begin, decoded - prefilled
            yield Done(finish, len(ids), len(produced), *times, fault, tuple(produced), masses, watch_s)
        finally:
            if not keeps:
                self.context.truncate(prefix)
