"""A conversation about documents: questions and answers stay in the cache behind them, and nothing is read again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hipcli.engine.events import Done, Event, FinishReason, PrefillProgress, Token
from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    from hipcli.engine.runtime import Reader
    from hipcli.engine.watch import Watch

LEAST_ANSWER = 32  # tokens; what leaves no room for as many is not asked


@dataclass(frozen=True)
class Turn:
    """A question and its answer, as text and as token ids.

    `asked` are the ids of the question with what the chat template writes around it, `said` those of the answer
    without the token that ends it. `start` is where they begin in the conversation; `cached` is how many tokens were
    read before: `start`, or one less where the answer before was cut short behind a token that nobody had read.
    """

    question: str
    answer: str
    asked: tuple[int, ...]
    said: tuple[int, ...]
    finish_reason: FinishReason
    start: int
    cached: int


class Full(HipError):
    """A question does not fit behind what was said."""


class Conversation:
    """Turns behind the documents `prefix`, in the cache of `reader`, which has read or restored some of the prefix.

    `encode` gives the ids of a question, and is told whether it follows an answer. `capacity` is the number of tokens
    that documents and turns may take. `begin` comes first.

    What was said and what is read are kept apart: `ids` is the whole conversation, and the first `reader.length` of
    them are in the cache. So every token is sent to the model once, however its answer ended.
    """

    def __init__(
        self, reader: "Reader", prefix: Sequence[int], capacity: int, encode: Callable[[str, bool], list[int]]
    ) -> None:
        self.reader = reader
        self.capacity = capacity
        self.turns: list[Turn] = []
        self._encode = encode
        self._documents = len(prefix)
        self._ids = list(prefix)

    @property
    def ids(self) -> Sequence[int]:
        """Documents and turns as token ids."""
        return self._ids

    @property
    def room(self) -> int:
        """Tokens that further questions and answers may take."""
        return self.capacity - len(self._ids)

    def begin(self, turns: Sequence[Turn] = (), length: int = 0) -> Iterator[PrefillProgress]:
        """Take up `turns` of which `length` tokens had been read, documents included, and read what is not restored.

        Raises Full where the turns do not fit.
        """
        said = [token for turn in turns for token in (*turn.asked, *turn.said)]
        if len(said) > self.room:
            what = f"the turns that the session keeps take {len(said):,} tokens, and there is room for {self.room:,}"
            raise Full(what, f"make room with --room {len(said) + 1024}", ExitCode.DOES_NOT_FIT)
        self._ids += said
        self.turns = list(turns)
        yield from self._read(max(self._documents, length))

    def ask(
        self,
        question: str,
        max_tokens: int,
        stopped: Callable[[], bool] = lambda: False,
        watch: "Callable[[Sequence[int], bool], Watch] | None" = None,
    ) -> Iterator[Event]:
        """Read a question and answer it; both stay, unless it is no answer (`Done.fault`) or something is raised.

        An answer is at most as long as there is room. `stopped` is asked before every token whether it is to end.
        `watch` says what to look at for the ids of a question, and is told whether it follows an answer. Raises Full
        before anything is read.
        """
        asked = self._encode(question, bool(self.turns))
        start, cached = len(self._ids), self.reader.length
        left = self.room - len(asked)
        if left < min(max_tokens, LEAST_ANSWER):
            raise Full(f"the conversation is full: the question takes {len(asked):,} tokens, {self.room:,} are left")
        pieces, done = [], None
        try:
            unread = [*self._ids[cached:], *asked]
            looking = None
            if watch is not None:
                looking = watch(asked, bool(self.turns))
                looking = replace(looking, instruction=looking.instruction + len(unread) - len(asked))
            for event in self.reader.answer(unread, min(max_tokens, left), looking, keeps=True, stopped=stopped):
                if isinstance(event, Done):
                    done = event
                else:
                    if isinstance(event, Token):
                        pieces.append(event.text)
                    yield event
            assert done is not None, "the engine ended without saying that it is done"
        except BaseException:  # such as Ctrl-C in the middle of a layer
            self.reader.truncate(cached)
            raise
        if done.fault is None:
            text = "".join(pieces).strip()
            turn = Turn(question, text, tuple(asked), done.tokens, done.finish_reason, start, cached)
            self.turns.append(turn)
            self._ids += (*asked, *done.tokens)
        else:
            self.reader.truncate(cached)
        yield done

    def undo(self) -> Turn:
        """Forget the last turn, as if it had never been, and return it. Raises IndexError where there is none."""
        turn = self.turns.pop()
        self._cut(turn.start, turn.cached)
        return turn

    def forget(self) -> None:
        """Forget all turns, and keep the documents."""
        self.turns = []
        self._cut(self._documents, self._documents)

    def drop(self, count: int) -> None:
        """Forget the oldest `count` turns. The others are to be read again behind the documents: see `catch_up`."""
        kept = self.turns[count:]
        self.forget()
        for turn in kept:
            asked, start = self._encode(turn.question, bool(self.turns)), len(self._ids)
            self.turns.append(
                Turn(turn.question, turn.answer, tuple(asked), turn.said, turn.finish_reason, start, start)
            )
            self._ids += (*asked, *turn.said)

    def catch_up(self) -> Iterator[PrefillProgress]:
        """Read what is said and not read now; else the next question would bring it along."""
        yield from self._read(len(self._ids))

    def _read(self, length: int) -> Iterator[PrefillProgress]:
        """Have the first `length` tokens read, as far as they are not."""
        try:
            yield from self.reader.read(self._ids[:length], to_the_end=True)
        except BaseException:
            self.reader.truncate(self.reader.length)
            raise

    def _cut(self, stop: int, cached: int) -> None:
        del self._ids[stop:]
        self.reader.truncate(min(cached, self.reader.length))
