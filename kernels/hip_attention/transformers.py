"""The plug-in: importing this module registers attn_implementation="hip" with transformers.

    import hip_attention.transformers
    model = AutoModelForCausalLM.from_pretrained(name, attn_implementation="hip")
    model.generate(ids, past_key_values=HipCache(model.config))   # the cache is optional, and makes decode fast

No mask function is registered, so transformers builds no mask at all: causality and sliding windows are done here.
A prompt is one sequence without padding.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, Cache, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from hip_attention.attention import attention, sliding_attention
from hip_attention.cache.layer import LayerCache, SparseAttention, make_layers
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig
from hip_attention.rope import IdentityRotary, Rotary
from hip_attention.torch_backend.dense import dense_attention
from hip_attention.yarn import Yarn

NAME = "hip"
LEARNED_SINKS = {"gpt_oss", "granite_swa", "flint", "mimo_v2_flash", "deepseek_v4"}


class HipLayer(CacheLayerMixin):  # type: ignore[misc]
    """A transformers cache layer over a LayerCache. What `update` returns leads the attention function back to it.

    Its `config` holds for contexts of any length.
    """

    is_sliding = False
    is_croppable = True

    def __init__(self, cache: LayerCache) -> None:
        super().__init__()
        self.cache = cache
        self.config = cache.config

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        self.is_initialized = True
        if self.cache.length == 0:
            self.cache.configure(self.config.for_context(key_states.shape[2]))
        self.cache.append(key_states, value_states)
        keys = self.cache.stored.keys.outline
        keys.hip_cache = self.cache  # type: ignore[attr-defined]
        return keys, self.cache.stored.values.outline

    def get_seq_length(self) -> int:
        return self.cache.length

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cache.length + query_length, 0

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last `-tokens_to_remove` tokens (transformers counts them as a negative number)."""
        self.cache.truncate(self.cache.length - abs(tokens_to_remove))

    def reset(self) -> None:
        self.cache.truncate(0)


class HipCache(Cache):  # type: ignore[misc]
    """Keys and values in preallocated memory, with the state HiP keeps a layer; for `generate` and for own loops.

    model_config: the model's configuration; `model_config.hip` is used where `config` is not given.
    capacity: tokens to reserve room for, as many as the context will have; more are stored by growing.
    rotaries: one Rotary a layer if the model does not rotate by itself (see `detach_rotary`).
    attention: replaces sparse attention in the layers that would use it, for experiments (see `cache.LayerCache`).
    int8: keep keys and values as integers, in little more than half the memory of 16-bit numbers, but for dense layers.
    """

    def __init__(
        self,
        model_config: PreTrainedConfig,
        config: HipConfig | None = None,
        capacity: int = 0,
        rotaries: list[Rotary] | None = None,
        attention: SparseAttention | None = None,
        int8: bool = False,
    ) -> None:
        count = model_config.get_text_config(decoder=True).num_hidden_layers
        rotary_of = rotaries.__getitem__ if rotaries is not None else None
        states = make_layers(count, config or hip_config(model_config), capacity, rotary_of, attention, int8)
        super().__init__(layers=[HipLayer(state) for state in states])

    @contextmanager
    def question(self) -> Iterator[None]:
        """While the context is open, what is read is a question: see `HipConfig.question`."""
        for state in self.states:
            state.question = True
        try:
            yield
        finally:
            for state in self.states:
                state.question = False

    @property
    def states(self) -> list[LayerCache]:
        """What the layers keep."""
        return [layer.cache for layer in self.layers]

    @property
    def can_step(self) -> bool:
        """Whether `stepping` can decode the next token."""
        return all(state.can_step for state in self.states)

    @property
    def addresses(self) -> list[int]:
        """Where kernels read what is cached: addresses, which change when it is moved to where there is more room."""
        return [address for state in self.states for address in state.addresses]

    def lengthen(self) -> bool:
        """Count the next token in every layer, for `stepping`; returns whether it has to select keys anew."""
        return [state.lengthen() for state in self.states][-1]

    @contextmanager
    def stepping(self, step: Step) -> Iterator[None]:
        """While the context is open, what is read is the token of `step`, which `LayerCache.lengthen` has counted."""
        for state in self.states:
            state.step = step
        try:
            yield
        finally:
            for state in self.states:
                state.step = None

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on, in every layer."""
        for state in self.states:
            state.truncate(length)

    def state(self, start: int, stop: int) -> list[dict[str, Tensor]]:
        """What every layer stores of tokens [start, stop), as named views (see `LayerCache.state`)."""
        return [state.state(start, stop) for state in self.states]

    def restore(self, state: list[dict[str, Tensor]]) -> None:
        """Store the next tokens as `state` gave them for the same tokens and settings."""
        for layer, stored in zip(self.layers, state, strict=True):
            layer.is_initialized = True
            layer.cache.restore(stored)


def hip_config(model_config: PreTrainedConfig) -> HipConfig:
    """The settings attached to a model's configuration as `.hip`, or the defaults."""
    return getattr(model_config, "hip", None) or HipConfig()


def hip_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: query [1, Hq, T, D], key and value [1, Hkv, S, D] with S >= T.

    Returns [1, T, Hq, D] and no weights. Raises ValueError for what this attention does not do: padding and custom
    masks, more than one sequence, dropout, logit softcapping, learned sinks, attention to later tokens.
    """
    refused = {
        "a custom attention mask": attention_mask is not None,
        "batches of several sequences": query.shape[0] != 1,
        "attention dropout": dropout > 0,
        "logit softcapping": softcap is not None,
        "learned attention sinks": s_aux is not None,
        "attention to later tokens": not getattr(module, "is_causal", True),
    }
    for feature, asked in refused.items():
        if asked:
            raise ValueError(f"hip attention does not support {feature}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    cache: LayerCache | None = getattr(key, "hip_cache", None)
    config = cache.config if cache is not None else hip_config(module.config).for_context(key.shape[2])
    dense = config.backend == "dense" or int(module.layer_idx) < config.dense_layers  # type: ignore[arg-type]
    if cache is not None:
        output = cache.attend(query, scale, dense=dense, sliding_window=sliding_window)
    elif sliding_window is not None:
        output = sliding_attention(query, key, value, sliding_window, config, scale)
    elif dense:
        output = dense_attention(query, key, value, scale)
    else:
        output = attention(query, key, value, config.of_decode if query.shape[2] == 1 else config, scale=scale)
    return output.transpose(1, 2).contiguous(), None


def check_supported(config: PreTrainedConfig) -> None:
    """Raise ValueError naming the feature of this model that hip attention does not support."""
    config = config.get_text_config(decoder=True)
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    other = sorted(layer_types - {"full_attention", "sliding_attention"})
    refused = {
        "logit softcapping": getattr(config, "attn_logit_softcapping", None) is not None,
        "learned attention sinks": config.model_type in LEARNED_SINKS,
        "multi-head latent attention": getattr(config, "kv_lora_rank", None) is not None,
        "bidirectional attention": bool(getattr(config, "use_bidirectional_attention", False)),
        f"layers of type {', '.join(other)}": bool(other),
    }
    for feature, present in refused.items():
        if present:
            raise ValueError(f"{config.model_type} models use {feature}, which hip attention does not support")


@contextmanager
def replaced_attention(function: Callable[..., tuple[Tensor, None]]) -> Iterator[None]:
    """While the context is open, models call `function` where they would call `hip_attention_forward`."""
    AttentionInterface.register(NAME, function)
    try:
        yield
    finally:
        AttentionInterface.register(NAME, hip_attention_forward)


@contextmanager
def count_calls() -> Iterator[SimpleNamespace]:
    """Count, in `.calls`, how often models call the attention function while the context is open."""
    counter = SimpleNamespace(calls=0)

    def counted(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        counter.calls += 1
        return hip_attention_forward(*args, **kwargs)

    with replaced_attention(counted):
        yield counter


def prepare_rotary(
    model: PreTrainedModel, config: HipConfig, capacity: int, yarn: Yarn | None = None, int8: bool = False
) -> list[Rotary] | None:
    """Make the model ready for HipCache(model.config, config, capacity, rotaries, int8=int8); returns those `rotaries`.

    Where keys will stand at packed positions, or are rounded, which suits them before rotation, as `detach_rotary`
    says. Otherwise the model rotates by itself, as far as `yarn` stretches it, alike in every chunk of `capacity`
    tokens, and there are none. Either holds until the model is prepared again. Raises ValueError for positions that
    `yarn` cannot stretch.
    """
    if config.caches_unrotated(int8):
        return detach_rotary(model, capacity, config.packed_from, yarn)
    original = _stretch(model, yarn)
    if original is not None:
        _freeze(original, capacity)
    return None


@torch.no_grad()
def detach_rotary(
    model: PreTrainedModel, capacity: int, packed_from: int | None = None, yarn: Yarn | None = None
) -> list[Rotary] | None:
    """Make the model hand out queries and keys before rotation, so that a HipCache can rotate them itself.

    Returns one Rotary a layer for HipCache(rotaries=...), with tables for `capacity` positions; the model then works
    with such a cache alone, until it is detached again for another one. `packed_from` is that of the cache's HipConfig:
    rotations that depend on the length of the text are those for the true positions before it. `yarn` stretches the
    model's positions until then. Returns None, with the model rotating by itself, where its rotation is not the
    half-split kind of the whole head, which a forward of 64 tokens with both tells. Raises ValueError for positions
    that `yarn` cannot stretch.
    """
    original = _stretch(model, yarn)
    decoder = model.get_decoder()
    if original is None:
        return None
    config = model.config.get_text_config(decoder=True)
    layer_types = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    per_type = "layer_type" in inspect.signature(original.forward).parameters
    like = torch.empty(0, device=model.device)

    def make(layer_type: str) -> Rotary:
        extra = {"layer_type": layer_type} if per_type else {}
        return Rotary(lambda positions: original(like, positions, **extra), capacity)

    _freeze(original, capacity if packed_from is None else min(capacity, packed_from))
    shared = {layer_type: make(layer_type) for layer_type in set(layer_types)}
    rotaries = [shared[layer_type] for layer_type in layer_types]
    tables = original(like, torch.zeros(1, 1, dtype=torch.long, device=model.device), *([layer_types[0]] * per_type))
    ids = torch.randint(config.vocab_size, (1, 64), generator=torch.Generator().manual_seed(0)).to(model.device)
    expected = model(ids, past_key_values=HipCache(config, HipConfig()), logits_to_keep=1).logits.float()
    decoder.rotary_emb = IdentityRotary(original, tables[0].shape[-1])
    try:
        found = model(
            ids, past_key_values=HipCache(config, HipConfig(), rotaries=rotaries), logits_to_keep=1
        ).logits.float()
        equal = bool((found - expected).abs().max() <= 1e-3 * expected.abs().max())
    except RuntimeError:
        equal = False  # the rotary covers part of the head only: the halves do not match
    if not equal:
        decoder.rotary_emb = original
        return None
    return rotaries


def attach_rotary(model: PreTrainedModel) -> None:
    """Undo `prepare_rotary`: the model rotates by itself again, and as it was trained to."""
    decoder = model.get_decoder()
    rotary = getattr(decoder, "rotary_emb", None)
    if isinstance(rotary, IdentityRotary):
        rotary = rotary.original
    if rotary is not None:
        if hasattr(rotary, "unfrozen"):
            rotary.rope_type = rotary.unfrozen
        decoder.rotary_emb = getattr(rotary, "unstretched", rotary)


def _stretch(model: PreTrainedModel, yarn: Yarn | None) -> nn.Module | None:
    """The rotary module of the model, which rotates by itself, stretched by `yarn`; None where it has none."""
    attach_rotary(model)
    decoder = model.get_decoder()
    if yarn is not None:
        stretched = yarn.rotary(model)
        stretched.unstretched = decoder.rotary_emb
        decoder.rotary_emb = stretched
    rotary: nn.Module | None = getattr(decoder, "rotary_emb", None)
    return rotary


def _freeze(rotary: nn.Module, length: int) -> None:
    """Settle RoPE variants that choose their frequencies by the length of each forward: chunks must agree on them."""
    rope_type = getattr(rotary, "rope_type", None)
    if isinstance(rope_type, str) and ("dynamic" in rope_type or rope_type == "longrope"):
        rotary(torch.empty(0), torch.tensor([[max(0, length - 1)]]))
        rotary.unfrozen, rotary.rope_type = rope_type, "default"  # type: ignore[assignment]


AttentionInterface.register(NAME, hip_attention_forward)
