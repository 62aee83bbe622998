"""The model under evaluation, with any kind of attention: hidden states of a text, logits, and the product's engine."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import torch
from hip_attention.cache.layer import SparseAttention
from hip_attention.config import HipConfig
from hip_attention.transformers import HipCache, attach_rotary, prepare_rotary
from hip_attention.rope_config import Yarn
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hipcli.engine.engine import CHUNK_CPU, CHUNK_GPU, Engine
from hipcli.errors import HipError
from hipcli.evaluation.specs import Spec
from hipcli.models.load import choose_device, choose_dtype, load_model, load_tokenizer
from hipcli.models.resolve import ModelSource, shape, weight_files
from hipcli.planning.positions import stretch
from hipcli.prompt import templates
from hipcli.prompt.tokens import PromptEncoder

_ROWS = 256  # rows of logits at a time: a vocabulary is wide
_EDGE = 1 << 20


class Subject:
    """A model and its tokenizer, each loaded when it is first asked for: a run that finds all results loads nothing."""

    def __init__(self, source: ModelSource, device: str = "auto", dtype: str = "auto") -> None:
        self.name = source.name
        self._shape = shape(source)
        self.window = self._shape.window
        self.device = choose_device(device)
        self.dtype = str(choose_dtype(dtype, self.device)).removeprefix("torch.")
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
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self._source)

    @cached_property
    def prompt(self) -> templates.Prompt:
        """The prompt of `hip ask`, which every question here is put with."""
        return templates.load("ask", {})

    @cached_property
    def encoder(self) -> PromptEncoder:
        return PromptEncoder(self.tokenizer, self.prompt.system())

    @cached_property
    def model(self) -> PreTrainedModel:
        model = load_model(self._source, str(self.device), self.dtype, "hip")
        ids = torch.arange(16, device=model.device)[None]
        with torch.inference_mode():
            hidden = model.get_decoder()(ids, use_cache=False).last_hidden_state
            expected = model(ids, use_cache=False).logits
            if (model.get_output_embeddings()(hidden) - expected).abs().max() > 0.01 * expected.abs().max():
                raise HipError(f"{self.name}: eval does not know how {model.config.model_type} models make logits")
        return model

    @contextmanager
    def lending(self) -> Iterator[None]:
        """While the context is open, an engine or a reading may have the model; then it rotates by itself again."""
        try:
            yield
        finally:
            attach_rotary(self.model)

    def _yarn(self, spec: Spec) -> Yarn | None:
        return None if spec.yarn is None else stretch(self._shape, spec.yarn)

    def engine(self, spec: Spec, capacity: int) -> Engine:
        """The engine that `hip ask` would use; valid within `lending()`."""
        attention, yarn = spec.attention(), self._yarn(spec)
        return Engine(
            self.model, self.tokenizer, spec.config, capacity=capacity, attention=attention, yarn=yarn, int8=spec.int8
        )  # fmt: skip

    def reading(self, spec: Spec, capacity: int, attention: SparseAttention | None = None) -> "Reading":
        """An empty context of our own, with `attention` in place of the spec's; valid within `lending()`."""
        config = spec.config
        rotaries = prepare_rotary(self.model, config, capacity, self._yarn(spec), spec.int8)
        cache = HipCache(self.model.config, config, capacity, rotaries, attention or spec.attention(), spec.int8)
        return Reading(self.model, cache, config)

    @torch.inference_mode()
    def hidden(self, ids: Sequence[int], spec: Spec, start: int) -> Tensor:
        """Last hidden states [T - start, hidden] of the tokens from `start` on, read in chunks."""
        with self.lending():
            return self.reading(spec, len(ids)).read(ids)[start:]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Iterator[Tensor]:
        """Logits fp32 [<= 256, vocabulary] of hidden states [T, hidden], a piece at a time."""
        head = self.model.get_output_embeddings()
        for piece in hidden.split(_ROWS):
            yield head(piece).float()


class Reading:
    """Tokens read one after the other into a cache of keys and values."""

    def __init__(self, model: PreTrainedModel, cache: HipCache, config: HipConfig) -> None:
        self._model = model
        self._cache = cache
        chunk = CHUNK_CPU if model.device.type == "cpu" else CHUNK_GPU
        self._chunk = max(1, chunk // config.block_q) * config.block_q
        self.length = 0

    @torch.inference_mode()
    def read(self, ids: Sequence[int]) -> Tensor:
        """Append tokens; returns their last hidden states [T, hidden]."""
        found, device = [], self._model.device
        start = 0
        while start < len(ids):
            stop = min(len(ids), start + self._chunk - self.length % self._chunk)
            output = self._model.get_decoder()(
                torch.tensor([ids[start:stop]], device=device),
                position_ids=torch.arange(self.length, self.length + stop - start, device=device)[None],
                past_key_values=self._cache,
                use_cache=True,
            )
            found.append(output.last_hidden_state[0])
            self.length += stop - start
            start = stop
        return torch.cat(found)

    def ask(self, ids: Sequence[int]) -> Tensor:
        """Append a question, which attends as the product's engine lets one; returns what `read` does."""
        with self._cache.question():
            return self.read(ids)

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        self._cache.truncate(length)
        self.length = length
