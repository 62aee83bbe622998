"""A conversation as it is led: questions answered onto an output, and what was said kept with the session."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hipcli.chat.evidence import Witness
from hipcli.chat.stopping import stoppable
from hipcli.disk.conversations import KeptConversation
from hipcli.documents.document import Document
from hipcli.engine import runtime
from hipcli.engine.conversation import Conversation, Full, Turn
from hipcli.engine.events import Done, Token
from hipcli.errors import ExitCode, HipError
from hipcli.evidence.reference import Evidence
from hipcli.output import messages
from hipcli.output.answers import AnswerWriter, Output
from hipcli.output.progress import progress

if TYPE_CHECKING:
    from hipcli.engine.watch import Masses

FULL_HINT = (
    "forget with /drop the oldest question, with /undo the last, with /new all; --room N makes more at the start"
)


class Refusal(HipError):
    """What is wrong with one question or command. The conversation goes on."""


@dataclass
class Talk:
    """What commands work on.

    `paths` are as the user named them. `store` keeps the turns, None where there is no session. `terminal`: somebody
    types the questions, and can stop an answer. `witness` sees what answers rest on. `saved_to` are the files that
    /save has written.
    """

    conversation: Conversation
    documents: Sequence[Document]
    paths: Sequence[str]
    model: str
    output: Output
    max_tokens: int
    terminal: bool
    quiet: bool = False
    verbose: bool = False
    store: KeptConversation | None = None
    witness: Witness | None = None
    saved_to: set[Path] = field(default_factory=set)
    masses: "tuple[Turn, Masses] | None" = None  # of the last turn that was watched

    def ask(self, question: str) -> None:
        """Answer a question, text as it comes. Raises Refusal where there is no answer; then the turn is forgotten."""
        writer = AnswerWriter(self.output, None if self.terminal else question)
        try:
            with stoppable() if self.terminal else nullcontext(lambda: False) as stopped:
                done = self._follow(question, writer, stopped)
        except Full as full:
            raise Refusal(full.message, FULL_HINT) from full
        except RuntimeError as error:
            if out_of_memory := runtime.as_out_of_memory(error):
                raise Refusal(f"{out_of_memory.message}; the question is forgotten", FULL_HINT) from error
            raise
        except HipError as error:
            if error.exit_code == ExitCode.DOES_NOT_FIT:
                raise Refusal(f"{error.message}; the question is forgotten", FULL_HINT) from error
            raise
        if done.fault is not None:
            if done.finish_reason == "interrupted":
                raise Refusal("stopped before there was an answer; the question is forgotten")
            raise Refusal(f"{done.fault}; the question is forgotten", "ask in other words, or use another --model")
        self.keep()
        self._comment(done)

    def keep(self) -> None:
        """Store the conversation with the session, if there is one. Where that fails, warn, and store no more."""
        if self.store is None:
            return
        reader = self.conversation.reader
        try:
            self.store.save(self.conversation.turns, reader.length, reader.export)
        except HipError as error:
            self.store = None
            messages.warn(f"the conversation is not saved any more: {error.message}")

    def drop(self, count: int) -> Sequence[Turn]:
        """Forget the oldest turns, read the others again, and return those that are forgotten."""
        dropped = self.conversation.turns[:count]
        self.conversation.drop(count)
        self.keep()
        with progress("Reading", not self.quiet) as update:
            for event in self.conversation.catch_up():
                update(event.done, event.total)
        self.keep()
        return dropped

    def evidence(self) -> Evidence | None:
        """What the last answer rests on; None where nobody looks. Raises Refusal where there is no answer yet."""
        if not self.conversation.turns:
            raise Refusal("nothing was asked yet")
        if self.witness is None:
            return None
        last = self.conversation.turns[-1]
        masses = self.masses[1] if self.masses is not None and self.masses[0] is last else None
        return self.witness.evidence(last, masses)

    def _follow(self, question: str, writer: AnswerWriter, stopped: Callable[[], bool]) -> Done:
        done = None
        watch = None if self.witness is None else self.witness.watch
        for event in self.conversation.ask(question, self.max_tokens, stopped, watch):
            if isinstance(event, Token):
                writer.write(event.text)
            elif isinstance(event, Done):
                done = event
        assert done is not None, "a conversation ends every answer"
        if done.fault is None:
            writer.end()
            if done.masses is not None:
                self.masses = self.conversation.turns[-1], done.masses
        return done

    def _comment(self, done: Done) -> None:
        """Say how an answer ended where it was not by itself, and how much room is left where it is little."""
        room = self.conversation.room
        if done.finish_reason == "length":
            limit = f"at {done.completion_tokens:,} tokens"
            if done.completion_tokens < self.max_tokens:
                messages.warn(f"the answer was stopped {limit}: the conversation is full; {FULL_HINT}")
            else:
                messages.warn(f"the answer was stopped {limit}; allow more with --max-tokens")
        elif done.finish_reason == "repetition":
            messages.warn("the answer was stopped because it repeats itself; a bigger --model should not")
        if self.verbose:
            speed = f"{done.completion_tokens / done.decode_s:.1f} tok/s" if done.decode_s > 0 else "no decode"
            parts = f"{done.question_tokens:,} + {done.completion_tokens:,} tokens · prefill {done.prefill_s:.1f} s"
            messages.say(f"{parts} · {speed} · room for {room:,} more tokens")
        elif room < self.max_tokens:
            messages.say(f"hip: room for {room:,} more tokens; {FULL_HINT}")
