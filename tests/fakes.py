"""A model that only pretends to be one. Run as a program, this file is `hip` with that model behind it."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hip_attention.config import HipConfig
from hip_attention.yarn import Yarn

from hipcli.cli.options import KvStorage
from hipcli.cli.settings import Settings
from hipcli.disk.session_header import Basis
from hipcli.engine import runtime
from hipcli.engine.events import Done, Event, PrefillProgress, Token
from hipcli.models.resolve import ModelShape
from hipcli.planning import budget


class WordTokenizer:
    """One id a word or a piece of white space; has what `prompt.tokens` asks of a tokenizer without a chat template."""

    chat_template = None
    bos_token_id = None
    name_or_path = "fake"
    added_tokens_decoder: dict[int, Any]

    def __init__(self) -> None:
        self.added_tokens_decoder = {}
        self.words: list[str] = []
        self._ids: dict[str, int] = {}

    def encode(self, text: str, **_: Any) -> list[int]:
        ids = []
        for word in re.findall(r"\s+|\S+", text):
            if word not in self._ids:
                self._ids[word] = len(self.words)
                self.words.append(word)
            ids.append(self._ids[word])
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.words[number] for number in ids)


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
    questions: list[str] = field(default_factory=list)
    capacities: list[int] = field(default_factory=list)
    attentions: list[HipConfig] = field(default_factory=list)
    stretches: list[Yarn | None] = field(default_factory=list)
    kept_as: list[KvStorage] = field(default_factory=list)
    answering: int = 0

    def memory(self, tokens: int, hip: HipConfig, kv_cache: KvStorage) -> budget.Memory:
        return budget.memory(self.shape, tokens, hip, 2, self.available, kv_cache)

    def load(self) -> None:
        self.loads += 1

    def basis(self, hip: HipConfig, yarn: Yarn | None, kv_cache: KvStorage) -> Basis:
        return Basis(self.name, self.revision, "int32", asdict(hip), yarn.factor if yarn else 1, kv_cache)

    def reader(self, capacity: int, hip: HipConfig, yarn: Yarn | None, kv_cache: KvStorage) -> "FakeReader":
        self.capacities.append(capacity)
        self.attentions.append(hip)
        self.stretches.append(yarn)
        self.kept_as.append(kv_cache)
        return FakeReader(self)

    def peak_bytes(self) -> int:
        return 3 * 2**30


class FakeReader:
    """What it keeps of a token is the token itself."""

    def __init__(self, fake: FakeRuntime) -> None:
        self.fake = fake
        self.kept: list[int] = []

    @property
    def length(self) -> int:
        return len(self.kept)

    def state(self, start: int, stop: int) -> Any:
        import torch

        kept = torch.tensor(self.kept[start:stop], dtype=torch.int32)[None, None, :, None]
        return [{"key": kept, "value": -kept}]

    def restore(self, state: Any) -> None:
        (layer,) = state
        assert layer["key"].equal(-layer["value"])
        self.kept += layer["key"].flatten().tolist()

    def read(self, ids: Sequence[int]) -> Iterator[PrefillProgress]:
        assert self.kept == list(ids[: self.length])
        self.fake.reads.append(self.fake.tokenizer.decode(ids[self.length :]))
        for done in range(self.length, len(ids), 64):
            time.sleep(self.fake.delay)
            yield PrefillProgress(done, len(ids))
            self.kept = list(ids[: min(done + 64, len(ids) // 64 * 64)])
        yield PrefillProgress(len(ids), len(ids))

    def answer(self, ids: Sequence[int], max_tokens: int) -> Iterator[Event]:
        fake = self.fake
        if fake.failure:
            raise fake.failure
        fake.questions.append(fake.tokenizer.decode(ids))
        fake.answering += 1
        pieces = fake.script.pop(0) if fake.script else fake.pieces
        yield PrefillProgress(len(ids), len(ids))
        for piece in pieces:
            time.sleep(fake.delay)
            yield Token(piece)
        yield Done(fake.finish_reason, len(ids), len(pieces), 0.5, 0.25)  # type: ignore[arg-type]
        fake.answering -= 1


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
