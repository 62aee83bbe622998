"""A model that only pretends to be one. Run as a program, this file is `hip` with that model behind it."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import torch
from hip_attention.config import HipConfig

from hipcli.cli.options import KvStorage
from hipcli.cli.settings import Settings
from hipcli.disk.session_header import Basis
from hipcli.engine import runtime
from hipcli.engine.events import Done, Event, PrefillProgress, Token
from hipcli.engine.watch import Masses, Watch
from hipcli.models.resolve import ModelShape
from hipcli.planning import budget
from hipcli.planning.plan import Execution, Plan, rows_of
from hipcli.prompt.tokenizer import Messages


class WordTokenizer:
    """One id a word or a piece of white space; has what `prompt.tokens` asks of a tokenizer without a chat template."""

    name = "fake"
    because: str | None = None
    chat_template: str | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    def __init__(self) -> None:
        self.now = datetime.now()
        self.added_tokens: dict[str, tuple[int, bool]] = {}
        self.words: list[str] = []
        self._ids: dict[str, int] = {}

    def encode(self, text: str, *, control: bool) -> list[int]:
        ids = []
        for word in re.findall(r"\s+|\S+", text):
            if word not in self._ids:
                self._ids[word] = len(self.words)
                self.words.append(word)
            ids.append(self._ids[word])
        return ids

    def starts(self, text: str) -> list[int]:
        return [word.start() for word in re.finditer(r"\s+|\S+", text)]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.words[number] for number in ids)

    def render(self, messages: Messages) -> str:
        raise AssertionError("there is no chat template")

    def wants_bos(self) -> bool:
        return False


@dataclass
class FakeRuntime:
    """Answers with `pieces`, or with the answers queued in `script`, and remembers what it was given to read."""

    settings: Settings | None = None
    name: str = "fake"
    revision: str = "r1"
    shape: ModelShape = field(
        default_factory=lambda: ModelShape(
            family="llama", layers=2, hidden=16, heads=4, kv_heads=2, head_dim=4, window=8192, weight_bytes=2**20
        )
    )
    tokenizer: WordTokenizer = field(default_factory=WordTokenizer)
    pieces: Sequence[str] = ("All ", "is ", "well.")
    script: list[Sequence[str]] = field(default_factory=list)
    finish_reason: str = "stop"
    delay: float = 0.0
    available: int | None = None
    failure: Exception | None = None
    on_gpu: bool = False
    loads: int = 0
    reads: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)  # but for the end of the documents, which goes with single questions
    questions: list[str] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    limits: str | None = None
    fault: str | None = None
    answering: int = 0
    attends: str = ""  # a word: the attention of answers lies on passages and pages that have it

    def memory(self, tokens: int, hip: HipConfig, kv_cache: KvStorage) -> budget.Memory:
        return budget.memory(self.shape, tokens, hip, 2, self.available, kv_cache)

    def load(self, plans: Sequence[Plan]) -> None:
        self.loads += 1

    def basis(self, plan: Plan) -> Basis:
        return Basis(self.name, self.revision, "int32", asdict(plan.hip), plan.yarn_factor, plan.kv_cache)

    def reader(self, plan: Plan) -> "FakeReader":
        self.plans.append(plan)
        return FakeReader(self)

    def execution(self, plan: Plan, reader: Any) -> Execution:
        rows, because = rows_of(plan, torch.device("cpu"))
        return Execution(
            "decoder", "it is a fake", None, None, "torch", rows, because, reader.eager_because, 0.125, 30, 7, 0
        )

    def peak_bytes(self) -> int:
        return 3 * 2**30


class FakeReader:
    """What it keeps of a token is the token itself."""

    eager_because: str | None = "it is a fake"

    def __init__(self, fake: FakeRuntime) -> None:
        self.fake = fake
        self.kept: list[int] = []
        self.ids: list[int] = []

    @property
    def length(self) -> int:
        return len(self.kept)

    def export(self, start: int, stop: int) -> Any:
        kept = torch.tensor(self.kept[start:stop], dtype=torch.int32)[None, None, :, None]
        return [{"key": kept, "value": -kept}]

    def restore(self, tokens: Any) -> None:
        (layer,) = tokens
        assert layer["key"].equal(-layer["value"])
        self.kept += layer["key"].flatten().tolist()

    def truncate(self, length: int) -> None:
        del self.kept[length:]

    def read(self, ids: Sequence[int], to_the_end: bool = False) -> Iterator[PrefillProgress]:
        assert self.kept == list(ids[: self.length])
        self.ids = list(ids)
        self.fake.reads.append(self.fake.tokenizer.decode(ids[self.length :]))
        last = len(ids) if to_the_end else len(ids) // 64 * 64
        for done in range(self.length, len(ids), 64):
            time.sleep(self.fake.delay)
            yield PrefillProgress(done, len(ids))
            self.fake.sent += ids[self.length : min(done + 64, last)]
            self.kept = list(ids[: min(done + 64, last)])
        yield PrefillProgress(len(ids), len(ids))

    def answer(
        self,
        ids: Sequence[int],
        max_tokens: int,
        watch: Any = None,
        *,
        keeps: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        fake = self.fake
        if fake.failure:
            raise fake.failure
        fake.questions.append(fake.tokenizer.decode(ids))
        fake.answering += 1
        pieces = fake.script.pop(0) if fake.script else fake.pieces
        yield PrefillProgress(len(ids), len(ids))
        said: list[str] = []
        finish_reason = fake.finish_reason
        for piece in pieces:
            time.sleep(fake.delay)
            if stopped():
                finish_reason = "interrupted"
                break
            said.append(piece)
            yield Token(piece)
        fault = fake.fault or (None if said else "the answer is empty")
        tokens = fake.tokenizer.encode("".join(said), control=False)
        self.fake.sent += [*ids, *tokens]
        if keeps:
            self.kept += [*ids, *tokens]
        masses = None if watch is None else self._masses(watch)
        yield Done(finish_reason, len(ids), len(said), 0.5, 0.25, fault, tuple(tokens), masses)  # type: ignore[arg-type]
        fake.answering -= 1

    def _masses(self, watch: Watch) -> Masses:
        """What the attention of an answer would be if it lay on what has the word `attends`, and nowhere else."""
        texts = [self.fake.tokenizer.decode(self.ids[start:stop]) for start, stop in watch.spans]
        usual = torch.full((1, len(texts)), 0.01)
        wanted = torch.tensor([[0.9 if self.fake.attends in text else 0.01 for text in texts]])
        return Masses(usual, (wanted,))


def install(fake: FakeRuntime, replace: Callable[[Any, str, Any], None] = setattr) -> FakeRuntime:
    """Make hip open `fake`, whatever model it is asked for."""

    def open_runtime(settings: Settings, say: Callable[[str], None]) -> FakeRuntime:
        fake.settings = settings
        fake.name = settings.model
        return fake

    replace(runtime, "open_runtime", open_runtime)
    return fake


def _main() -> None:
    """`fakes.py DELAY COUNT ARGUMENT...`: hip whose answer has COUNT lines, with DELAY seconds before each."""
    from hipcli.__main__ import main

    delay, count, *sys.argv[1:] = sys.argv[1:]
    install(FakeRuntime(delay=float(delay), pieces=[f"line {n}\n" for n in range(int(count))]))
    main()


if __name__ == "__main__":
    _main()
