"""The model under evaluation, with any kind of attention: hidden states of a text, logits, and the product's engine."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from hip_attention.cache.layer import SparseAttention
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn
from torch import Tensor

from hipcli.disk.converted import explained
from hipcli.engine.device import choose_device, choose_dtype
from hipcli.engine.engine import Engine
from hipcli.engine.prefill import Context
from hipcli.engine.sampling import Sampling
from hipcli.engine.self_check import CacheKind, check_model
from hipcli.evaluation.specs import Spec
from hipcli.models.language_model import LoadedModel
from hipcli.models.load import load_model
from hipcli.models.resolve import ModelSource, shape, weight_files
from hipcli.planning.positions import stretch
from hipcli.prompt import templates
from hipcli.prompt.tokenizer import Tokenizer, load_tokenizer
from hipcli.prompt.tokens import PromptEncoder

_ROWS = 256  # rows of logits at a time: a vocabulary is wide
_EDGE = 1 << 20


class Subject:
    """A model and its tokenizer, each loaded when it is first asked for: a run that finds all results loads nothing."""

    def __init__(self, source: ModelSource, device: str = "auto", dtype: str = "auto") -> None:
        self.name = source.name
        with explained(source.path, source.name):
            self._shape = shape(source)
        self.window = self._shape.window
        self.device = choose_device(device)
        self._dtype = choose_dtype(dtype, self.device)
        self.dtype = str(self._dtype).removeprefix("torch.")
        self._source = source

    @cached_property
    def revision(self) -> str:
        """What the weights are: the source's own revision, or for a plain folder a hash of its files' ends."""
        if self._source.revision:
            return self._source.revision
        digest = hashlib.sha256((self._source.path / "config.json").read_bytes())
        for path in weight_files(self._source.path):
            with open(path, "rb") as file:
                digest.update(file.read(_EDGE))
                file.seek(max(0, path.stat().st_size - _EDGE))
                digest.update(file.read(_EDGE))
        return digest.hexdigest()

    @property
    def machine(self) -> str:
        """The name of the device that computes."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        with explained(self._source.path, self.name):
            return load_tokenizer(self._source.name, self._source.path)

    @cached_property
    def prompt(self) -> templates.Prompt:
        """The prompt of `hip ask`, which every question here is put with."""
        return templates.load("ask", {})

    @cached_property
    def encoder(self) -> PromptEncoder:
        return PromptEncoder(self.tokenizer, self.prompt.system())

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, checked (see `check_model`), with a head that makes logits of hidden states."""
        with explained(self._source.path, self.name):
            loaded = load_model(self._source, self.device, self._dtype)
            check_model(loaded, self.tokenizer, [CacheKind(HipConfig())])
        return loaded

    def _yarn(self, spec: Spec) -> Yarn | None:
        return None if spec.yarn is None else stretch(self._shape, spec.yarn)

    def engine(self, spec: Spec, capacity: int) -> Engine:
        """The engine that `hip ask` would use."""
        return Engine(
            self.loaded, self.tokenizer, spec.config, Sampling(), capacity, attention=spec.attention(),
            yarn=self._yarn(spec), int8=spec.int8,
        )  # fmt: skip

    def context(self, spec: Spec, capacity: int, attention: SparseAttention | None = None) -> Context:
        """An empty context of our own, with `attention` in place of the spec's."""
        return Context(
            self.loaded.model, spec.config, capacity, attention=attention or spec.attention(), yarn=self._yarn(spec),
            int8=spec.int8,
        )  # fmt: skip

    def hidden(self, ids: Sequence[int], spec: Spec, start: int) -> Tensor:
        """Last hidden states [T - start, C] of the tokens from `start` on, read in chunks."""
        return self.context(spec, len(ids)).hidden(ids)[start:]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Iterator[Tensor]:
        """Logits float32 [<= 256, vocabulary] of hidden states [T, C], a piece at a time."""
        for piece in hidden.split(_ROWS):
            yield self.loaded.model.logits(piece)
