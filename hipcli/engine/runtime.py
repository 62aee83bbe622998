"""The model behind a run, opened in two steps: tokenizer and sizes to plan with, then the weights to read with."""

import atexit
import gc
import hashlib
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hip_attention.config import HipConfig
from hip_attention.yarn import Yarn

from hipcli.cli.options import KvStorage
from hipcli.cli.settings import Settings
from hipcli.disk.session_header import Basis
from hipcli.engine.events import Event, PrefillProgress
from hipcli.errors import ExitCode, HipError
from hipcli.models.resolve import ModelShape, ModelSource, resolve, shape, weight_files
from hipcli.planning import budget

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hipcli.disk.sessions import Snapshot as State


class Reader(Protocol):
    """What a run needs of an engine; `hipcli.engine.engine.Engine` is one."""

    @property
    def length(self) -> int:
        """Tokens of what all questions share that are behind, read or restored."""

    def state(self, start: int, stop: int) -> "State":
        """What has to be kept of those tokens [start, stop) so that they need not be read again."""

    def restore(self, state: "State") -> None:
        """Take over what `state` gave for the next tokens, before anything is read."""

    def read(self, ids: Sequence[int]) -> Iterator[PrefillProgress]:
        """Read what all questions share, once, from where it is not restored."""

    def answer(self, ids: Sequence[int], max_tokens: int) -> Iterator[Event]:
        """Read a question and answer it; afterwards ready for the next question."""


class Runtime(Protocol):
    """A model that can be planned with, and read with once it is loaded."""

    name: str
    revision: str
    shape: ModelShape
    tokenizer: "PreTrainedTokenizerBase"

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""

    def memory(self, tokens: int, hip: HipConfig, kv_cache: KvStorage) -> budget.Memory:
        """What a context of `tokens` tokens takes with this attention, and what there is."""

    def load(self) -> None:
        """Read the weights. Raises HipError where they cannot be used or do not fit."""

    def basis(self, hip: HipConfig, yarn: Yarn | None, kv_cache: KvStorage) -> Basis:
        """What a session depends on, with this attention, stretch of positions and storage."""

    def reader(self, capacity: int, hip: HipConfig, yarn: Yarn | None, kv_cache: KvStorage) -> Reader:
        """An engine with an empty context of `capacity` tokens and all of these, on the loaded weights.

        Raises HipError for positions that cannot be stretched.
        """

    def peak_bytes(self) -> int:
        """The most memory held so far, on the device that computes."""


@dataclass
class LocalRuntime:
    """A model on this machine, run by transformers."""

    source: ModelSource
    shape: ModelShape
    tokenizer: "PreTrainedTokenizerBase"
    settings: Settings
    model: "PreTrainedModel | None" = None

    def __post_init__(self) -> None:
        self.name = self.source.name
        self.revision = self.source.revision

    @cached_property
    def device(self) -> "torch.device":
        """The device that computes."""
        from hipcli.models.load import choose_device

        return choose_device(self.settings.device)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def memory(self, tokens: int, hip: HipConfig, kv_cache: KvStorage) -> budget.Memory:
        from hipcli.models.load import choose_dtype

        value_bytes = choose_dtype(self.settings.dtype, self.device).itemsize
        available = budget.available_memory(str(self.device))
        return budget.memory(self.shape, tokens, hip, value_bytes, available, kv_cache, on_gpu=self.on_gpu)

    def load(self) -> None:
        from hipcli.models.load import load_model

        if self.model is None:
            with _importing():
                self.model = load_model(self.source, self.settings.device, self.settings.dtype, "hip")

    def basis(self, hip: HipConfig, yarn: Yarn | None, kv_cache: KvStorage) -> Basis:
        from hipcli.models.load import choose_dtype

        dtype = choose_dtype(self.settings.dtype, self.device)
        revision = self.revision or _fingerprint(self.source.path)
        numbers, factor = str(dtype).removeprefix("torch."), yarn.factor if yarn else 1
        return Basis(self.name, revision, numbers, asdict(hip), factor, kv_cache)

    def reader(self, capacity: int, hip: HipConfig, yarn: Yarn | None, kv_cache: KvStorage) -> Reader:
        from hipcli.engine.engine import Engine, Sampling

        settings = self.settings
        sampling = Sampling(settings.temperature, settings.top_p, settings.seed)
        return Engine(
            self.model, self.tokenizer, hip, sampling, capacity, yarn=yarn, int8=kv_cache == "int8"
        )  # fmt: skip

    def peak_bytes(self) -> int:
        if self.model is not None and self.on_gpu:
            import torch

            return int(torch.cuda.max_memory_allocated(self.model.device))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def open_runtime(settings: Settings, say: Callable[[str], None]) -> Runtime:
    """Find the model and load its tokenizer, not its weights. Raises HipError."""
    from hipcli.models.load import load_tokenizer

    source = resolve(settings.model, say)
    with _importing():
        return LocalRuntime(source, shape(source), load_tokenizer(source), settings)


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
