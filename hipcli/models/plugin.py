"""A model that transformers runs with attention by the plug-in: families that the own decoder does not know."""

from functools import cached_property
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from hip_attention.cache.cache import Cache
from hip_attention.cache.layer import SparseAttention
from hip_attention.cache.step import CacheError, Step
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn
from hip_attention.transformers import NAME, CacheStep, check_supported
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from hipcli.errors import HipError, first_line
from hipcli.models.plain import Reference
from hipcli.models.resolve import ModelSource, read_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_HINT = "use Llama, Qwen 2 or 3, Mistral or Gemma 3, or a model derived from them"


class PluginModel:
    """A LanguageModel over a model of transformers. Models rotate queries and keys by themselves (see the plug-in)."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self._model = model
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype

    @property
    def windows(self) -> list[int | None]:
        return _windows(self._model.config)

    @property
    def vocabulary(self) -> int:
        return int(self._model.get_input_embeddings().weight.shape[0])

    def make_cache(
        self,
        config: HipConfig,
        capacity: int = 0,
        *,
        attention: SparseAttention | None = None,
        yarn: Yarn | None = None,
        int8: bool = False,
    ) -> Cache:
        """See `LanguageModel`. Raises ValueError for packed and stretched positions and for int8."""
        if yarn is not None or int8 or config.packed_from is not None:
            raise ValueError(
                f"{self._model.config.model_type} models, which transformers runs, have neither packed nor stretched "
                "positions, nor int8 keys and values"
            )
        return Cache(len(self.windows), config, capacity, None, attention)

    def hidden(self, ids: Tensor, cache: Cache, step: Step) -> Tensor:
        output = self._model.get_decoder()(**self._inputs(ids, cache, step))
        hidden: Tensor = output.last_hidden_state[0]
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """See `LanguageModel`. Raises ValueError for models that do something to logits after the output embeddings."""
        if not self._bare_head:
            raise ValueError(
                f"{self._model.config.model_type} models scale or cap the logits of their output embeddings"
            )
        logits: Tensor = self._model.get_output_embeddings()(hidden)
        return logits.float()

    @cached_property
    def _bare_head(self) -> bool:
        """Whether the model's logits are those of its output embeddings, by the logits of one token."""
        ids, dense = torch.zeros(1, dtype=torch.int64, device=self.device), HipConfig(backend="dense")
        head: Tensor = self._model.get_output_embeddings()(self.hidden(ids, self.make_cache(dense), Step(0, 1)))
        logits = self.next_logits(ids, self.make_cache(dense), Step(0, 1))
        return torch.allclose(head.float(), logits, rtol=1e-3, atol=1e-3)

    def next_logits(self, ids: Tensor, cache: Cache, step: Step) -> Tensor:
        logits: Tensor = self._model(**self._inputs(ids, cache, step), logits_to_keep=1).logits
        return logits[0].float()

    def reference(self, ids: Tensor, yarn: Yarn | None) -> Reference:
        """One pass of the model with transformers' own attention."""
        self._model.set_attn_implementation("eager")
        try:
            cache = DynamicCache(config=self._model.config)
            # transformers 5.24 gave the argument another name, and warns of the old one.
            name = "cache" if "cache" in signature(self._model.forward).parameters else "past_key_values"
            logits = self._model(ids[None], use_cache=True, **{name: cache}).logits[0].float()
        finally:
            self._model.set_attn_implementation(NAME)
        keys, values = ([getattr(layer, part)[0] for layer in cache.layers] for part in ("keys", "values"))
        return Reference(logits, keys, values)

    def _inputs(self, ids: Tensor, cache: Cache, step: Step) -> dict[str, Any]:
        if step.device is None:
            position = torch.arange(step.start, step.start + step.count, device=ids.device)
        else:
            position = step.device.position
        return {
            "input_ids": ids[None], "position_ids": position[None], "use_cache": False, "hip": CacheStep(cache, step),
        }  # fmt: skip


def load_plugin(source: ModelSource, device: torch.device, dtype: torch.dtype) -> tuple[PluginModel, list[int]]:
    """The model at `source`, and the tokens that end its answers.

    Raises HipError for a model whose attention cannot be replaced, or that transformers cannot load; OutOfMemoryError.
    """
    config = _load_config(source)
    try:
        check_supported(config)
    except ValueError as error:
        raise HipError(f"{source.name}: {error}", _HINT) from error
    model = _load_weights(source, config, dtype).to(device).eval()
    ids = model.generation_config.eos_token_id
    wrapped = PluginModel(model)
    _require_attention(wrapped, _refusal(source, config))
    return wrapped, [ids] if isinstance(ids, int) else list(ids or [])


def _refusal(source: ModelSource, config: "PretrainedConfig") -> str:
    return f"{source.name}: {config.model_type} models do not let their attention be replaced"


class _Recorder(Cache):
    """A cache that notes the sliding window of each layer."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers, HipConfig(backend="dense"))
        self.windows: list[int | None] = [None] * layers

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, step: Step, *, scale: float,
        sliding_window: int | None = None,
    ) -> Tensor:  # fmt: skip
        self.windows[layer] = sliding_window
        return super().attend(layer, query, key, value, step, scale=scale, sliding_window=sliding_window)


def _require_attention(model: PluginModel, refusal: str) -> None:
    """Raise HipError unless every layer hands keys and window to the plug-in.

    Some families accept its name and ignore it, others slide by a mask alone, which the plug-in does not get.
    """
    cache = _Recorder(len(model.windows))
    try:
        model.hidden(torch.zeros(2, dtype=torch.int64, device=model.device), cache, Step(0, 2))
        cache.check(2)
        if cache.windows != model.windows:
            raise ValueError(f"sliding windows are {model.windows}, and attention is told {cache.windows}")
    except CacheError as error:
        raise HipError(refusal, _HINT) from error
    except (KeyError, ValueError, TypeError) as error:  # a table without the name, or arguments that are not taken
        raise HipError(f"{refusal} ({first_line(error)})", _HINT) from error


def _windows(config: "PretrainedConfig") -> list[int | None]:
    """The sliding window of each layer, as the configuration has it."""
    text = config.get_text_config(decoder=True)
    layers = int(text.num_hidden_layers)
    window = getattr(text, "sliding_window", None)
    if window is None or getattr(text, "use_sliding_window", True) is False:
        return [None] * layers
    kinds = getattr(text, "layer_types", None) or ["sliding_attention"] * layers
    return [int(window) if kind == "sliding_attention" else None for kind in kinds]


def _load_config(source: ModelSource) -> "PretrainedConfig":
    raw = read_config(source.path, source.name)
    try:
        return AutoConfig.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
    # Configs validate themselves with errors of several libraries, all of them about a bad config.json.
    except Exception as error:
        if "auto_map" in raw:
            raise HipError(
                f"{source.name}: model type {raw.get('model_type')!r} needs code from its own repository, "
                "which hip never runs",
                "use a model that transformers knows by itself",
            ) from error
        raise HipError(f"{source.name}: {first_line(error)}", "update transformers, or use another model") from error


def _load_weights(source: ModelSource, config: "PretrainedConfig", dtype: torch.dtype) -> "PreTrainedModel":
    from safetensors import SafetensorError

    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            source.path,
            config=config,
            dtype=dtype,
            attn_implementation=NAME,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        if error.args == (NAME,):  # a family with a table of attentions of its own
            raise HipError(_refusal(source, config), _HINT) from error
        raise HipError(f"{source.name}: cannot be loaded: {first_line(error)}", "try another model") from error
    # transformers fills what is missing with random numbers and goes on.
    if absent := sorted(report["missing_keys"]) or sorted(str(key) for key in report["mismatched_keys"]):
        raise HipError(
            f"{source.name}: {len(absent)} weights are missing or of the wrong shape, such as {absent[0]}",
            "download the model again, completely",
        )
    loaded: PreTrainedModel = model
    return loaded
