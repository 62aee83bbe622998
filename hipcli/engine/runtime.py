"""The model behind a run, opened in two steps: tokenizer and sizes to plan with, then the weights to read with."""

import atexit
import gc
import hashlib
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hip_attention.config import HipConfig

from hipcli.cli.options import KvStorage
from hipcli.cli.settings import Settings
from hipcli.disk.converted import explained
from hipcli.disk.session_header import Basis
from hipcli.engine.device import choose_device, choose_dtype
from hipcli.engine.events import Event, PrefillProgress
from hipcli.errors import ExitCode, HipError
from hipcli.models import architecture
from hipcli.models.resolve import ModelShape, ModelSource, read_config, resolve, shape, weight_files
from hipcli.planning import budget
from hipcli.planning.plan import Execution, Plan, backend_of, rows_of
from hipcli.prompt.tokenizer import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    import torch

    from hipcli.disk.segments import Snapshot
    from hipcli.engine.watch import Watch
    from hipcli.models.language_model import LoadedModel
    from hipcli.structured.grammar import Grammar


class Reader(Protocol):
    """What a run needs of an engine; `hipcli.engine.engine.Engine` is one."""

    @property
    def length(self) -> int:
        """Tokens of what all questions share that are behind, read or restored."""

    @property
    def eager_because(self) -> str | None:
        """Why tokens were decoded without CUDA graphs; None where graphs were used."""

    def export(self, start: int, stop: int) -> "Snapshot":
        """What has to be kept of those tokens [start, stop) so that they need not be read again."""

    def restore(self, tokens: "Snapshot") -> None:
        """Take over what `export` gave for the next tokens, before anything is read."""

    def read(self, ids: Sequence[int], to_the_end: bool = False) -> Iterator[PrefillProgress]:
        """Read what all questions share, once, from where it is not restored.

        Some last tokens are left to be read with each question, unless `to_the_end`.
        """

    def answer(
        self,
        ids: Sequence[int],
        max_tokens: int,
        watch: "Watch | None" = None,
        *,
        keeps: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        """Read a question and answer it; afterwards ready for the next question. `watch` asks for attention masses.

        With `keeps`, question and answer are not forgotten: what is read next comes behind them. `stopped` is asked
        before every token whether the answer is to end.
        """

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""


class Runtime(Protocol):
    """A model that can be planned with, and read with once it is loaded."""

    name: str
    revision: str
    shape: ModelShape
    tokenizer: Tokenizer

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""

    @property
    def limits(self) -> str | None:
        """Why positions can be neither packed nor stretched, nor keys and values integers; None where they can."""

    def memory(self, tokens: int, hip: HipConfig, kv_cache: KvStorage) -> budget.Memory:
        """What a context of `tokens` tokens takes with this attention, and what there is."""

    def load(self, plans: Sequence[Plan]) -> None:
        """Read the weights, and check that they are read through caches as `plans` need them.

        Raises HipError where they cannot be used, do not fit, or the check fails.
        """

    def basis(self, plan: Plan) -> Basis:
        """What a session depends on."""

    def reader(self, plan: Plan) -> Reader:
        """An engine with an empty context, on the loaded weights. Raises HipError for positions it cannot stretch."""

    def execution(self, plan: Plan, reader: Reader) -> Execution:
        """What a plan came to, once `reader` has answered."""

    def peak_bytes(self) -> int:
        """The most memory held so far, on the device that computes."""


@dataclass
class LocalRuntime:
    """A model on this machine."""

    source: ModelSource
    shape: ModelShape
    tokenizer: Tokenizer
    settings: Settings
    limits: str | None = None
    loaded: "LoadedModel | None" = None
    self_check_s: float = 0.0

    def __post_init__(self) -> None:
        self.name = self.source.name
        self.revision = self.source.revision

    @cached_property
    def device(self) -> "torch.device":
        """The device that computes."""
        return choose_device(self.settings.device)

    @cached_property
    def dtype(self) -> "torch.dtype":
        """The type of its numbers."""
        return choose_dtype(self.settings.dtype, self.device)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def memory(self, tokens: int, hip: HipConfig, kv_cache: KvStorage) -> budget.Memory:
        available = budget.available_memory(str(self.device))
        return budget.memory(self.shape, tokens, hip, self.dtype.itemsize, available, kv_cache, on_gpu=self.on_gpu)

    def load(self, plans: Sequence[Plan]) -> None:
        if self.loaded is None:
            with explained(self.source.path, self.name):
                with _importing():
                    from hipcli.models.load import load_model

                    self.loaded = load_model(self.source, self.device, self.dtype)
                start = time.perf_counter()
                self._check(plans)
                self.self_check_s = time.perf_counter() - start

    def basis(self, plan: Plan) -> Basis:
        revision = self.revision or _fingerprint(self.source.path)
        numbers = str(self.dtype).removeprefix("torch.")
        return Basis(self.name, revision, numbers, asdict(plan.prefill), plan.yarn_factor, plan.kv_cache)

    @cached_property
    def _grammar(self) -> "Grammar | None":
        """What answers have to follow; making it takes longer the more tokens there are."""
        if self.settings.schema is None:
            return None
        from hipcli.structured.grammar import Grammar

        eos = self.tokenizer.eos_id
        return Grammar(self.settings.schema, self.tokenizer, self._loaded.stops | ({eos} if eos is not None else set()))

    def reader(self, plan: Plan) -> Reader:
        from hipcli.engine.engine import Engine
        from hipcli.engine.sampling import Sampling

        settings = self.settings
        sampling = Sampling(settings.temperature, settings.top_p, settings.seed)
        return Engine(
            self._loaded, self.tokenizer, plan.hip, sampling, plan.capacity,
            yarn=plan.yarn, int8=plan.kv_cache == "int8", grammar=self._grammar,
        )  # fmt: skip

    def execution(self, plan: Plan, reader: Reader) -> Execution:
        rows, dense_because = rows_of(plan, self.device)
        loaded = self._loaded
        windows = loaded.model.windows
        dense = sum(window is None for window in windows[: plan.prefill.full_layers])
        sliding = sum(window is not None for window in windows)
        if rows == "sparse" and dense + sliding == len(windows):
            rows, dense_because = "dense", f"of {len(windows)} layers {sliding} slide and {dense} read all keys"
        return Execution(
            implementation=loaded.implementation, implementation_because=loaded.because,
            unpacked_because=loaded.unpacked_because,
            tokenizer_because=self.tokenizer.because, backend=backend_of(plan, self.device), rows=rows,
            dense_because=dense_because, eager_because=reader.eager_because, self_check_s=round(self.self_check_s, 3),
            layers=len(windows), dense_layers=dense, sliding_layers=sliding,
        )  # fmt: skip

    def peak_bytes(self) -> int:
        if self.loaded is not None and self.on_gpu:
            import torch

            return int(torch.cuda.max_memory_allocated(self.device))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    @property
    def _loaded(self) -> "LoadedModel":
        assert self.loaded is not None, "load first"
        return self.loaded

    def _check(self, plans: Sequence[Plan]) -> None:
        """Check the model through every kind of cache that the plans use."""
        from hipcli.engine.self_check import CacheKind, check_model

        kinds = (CacheKind(plan.hip, plan.yarn, plan.kv_cache == "int8") for plan in plans)
        check_model(self._loaded, self.tokenizer, kinds)


def open_runtime(settings: Settings, say: Callable[[str], None]) -> Runtime:
    """Find the model and load its tokenizer, not its weights. Raises HipError."""
    source = resolve(settings.model, say)
    with _importing(), explained(source.path, source.name):
        return LocalRuntime(source, shape(source), load_tokenizer(source.name, source.path), settings, _limits(source))


def _limits(source: ModelSource) -> str | None:
    """Why the model has only what the plug-in offers; None where the own decoder runs it."""
    try:
        architecture.read(read_config(source.path, source.name), source.name)
    except architecture.NotOurs as reason:
        return str(reason)
    return None


@contextmanager
def _importing() -> Iterator[None]:
    """Look for no garbage meanwhile, nor later among what there is then, until the process ends.

    Libraries make a million objects that stay. Looking at them takes a sixth of the time while they are made. What is
    left at the end some libraries report as leaks.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)
        gc.enable()


def _fingerprint(folder: Path) -> str:
    """What tells the content of a plain model folder from what it was before: its files, their sizes and times."""
    files = [(folder / "config.json"), *weight_files(folder)]
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def as_out_of_memory(error: RuntimeError) -> HipError | None:
    """The error to show if `error` is torch's way to say that memory ran out."""
    import torch

    # The CPU allocator raises a plain RuntimeError.
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return HipError("out of memory", "read fewer pages or use a smaller model", ExitCode.DOES_NOT_FIT)
    return None
