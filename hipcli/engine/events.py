"""What the engine says while it works. Renderers consume these; the engine itself prints nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hipcli.engine.watch import Masses

FinishReason = Literal["stop", "length", "repetition", "interrupted"]


@dataclass(frozen=True)
class PrefillProgress:
    """`done` of `total` prompt tokens have been read."""

    done: int
    total: int


@dataclass(frozen=True)
class Token:
    """The next piece of answer text, never half a character."""

    text: str


@dataclass(frozen=True)
class Done:
    """The answer is complete. Times are seconds of wall clock for this answer alone.

    `fault` says why the text is no answer (see `no_answer`): then none of it may have come as tokens. `tokens` are the
    ids of the answer, without the one that ends it. `masses` say what its attention fell on, if that was asked for;
    `watch_s` is what that took, which `decode_s` does not count.
    """

    finish_reason: FinishReason
    question_tokens: int
    completion_tokens: int
    prefill_s: float
    decode_s: float
    fault: str | None = None
    tokens: tuple[int, ...] = ()
    masses: "Masses | None" = None
    watch_s: float = 0.0


Event = PrefillProgress | Token | Done
