"""The plug-in: importing this module registers attn_implementation="hip" with transformers.

    import hip_attention.transformers
    model = AutoModelForCausalLM.from_pretrained(name, attn_implementation="hip")
    model.config.hip = HipConfig(top_k=2048)               # optional
    model.generate(ids)

A prompt that comes in one piece is then read sparsely; tokens after it attend to everything. To decode sparsely, and to
read in chunks, hand a cache of this package to every forward pass, as the keyword `hip`:

    cache = Cache(model.config.num_hidden_layers, HipConfig())
    model(ids, position_ids=positions, use_cache=False, hip=CacheStep(cache, Step(start, count)))

Here models apply RoPE themselves. What needs keys before RoPE is therefore missing: packed and stretched positions, and
keys and values as int8. Prompts end at the trained window.

Causality and sliding windows are done here, so no mask is built. A prompt is one sequence without padding.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig

from hip_attention.attention import attention, sliding_attention
from hip_attention.cache.cache import Cache
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig
from hip_attention.torch_backend.dense import dense_attention

NAME = "hip"
LEARNED_SINKS = {"gpt_oss", "granite_swa", "flint", "mimo_v2_flash", "deepseek_v4"}
# Further arguments that models pass to their attention function, with the values of each that change nothing here; None
# stands for any value.
HARMLESS: dict[str, tuple[Any, ...] | None] = {
    "use_cache": None,
    "cache_position": None,
    "position_embeddings": None,
    "output_attentions": (False, None),
    "output_hidden_states": None,
    "output_router_logits": None,
    "return_dict": None,
    "is_causal": (True, None),
    "token_type_ids": (None,),
    "head_mask": (None,),
}


@dataclass(frozen=True)
class CacheStep:
    """The keyword `hip` of a forward pass: the cache for its keys and values, and the tokens that they belong to."""

    cache: Cache
    step: Step


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
    position_ids: Tensor | None = None,
    hip: CacheStep | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: query [1, Hq, T, D], key and value [1, Hkv, S, D] with S >= T.

    Returns [1, T, Hq, D] and no weights. Raises ValueError for what this attention does not do: padding and custom
    masks, more than one sequence, dropout, logit softcapping, learned sinks, attention to later tokens, caches that
    return more keys than there are tokens; and for any argument that it does not know. With `hip`, raises CacheError
    where the cache does not hold the tokens before these.
    """
    refused = {
        "a custom attention mask": attention_mask is not None,
        "batches of several sequences": query.shape[0] != 1,
        "attention dropout": dropout > 0,
        "logit softcapping": softcap is not None,
        "learned attention sinks": s_aux is not None,
        "attention to later tokens": not getattr(module, "is_causal", True),
    }
    for name, given in others.items():
        if name not in HARMLESS:
            refused[f"the argument {name!r}, which this version of transformers passes"] = True
        elif (allowed := HARMLESS[name]) is not None:
            refused[f"{name}={given}"] = given not in allowed
    for feature, asked in refused.items():
        if asked:
            raise ValueError(f"hip attention does not support {feature}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if hip is not None:
        output = hip.cache.attend(layer, query, key, value, hip.step, scale=scale, sliding_window=sliding_window)
    else:
        config = hip_config(module.config).for_context(key.shape[2])
        output = _without_cache(query, key, value, config, layer, scale, sliding_window, position_ids)
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
        "bidirectional attention": bool(getattr(config, "use_bidirectional_attention", False))
        or not getattr(config, "is_causal", True),
        f"layers of type {', '.join(other)}": bool(other),
    }
    for feature, present in refused.items():
        if present:
            raise ValueError(f"{config.model_type} models use {feature}, which hip attention does not support")


def _without_cache(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    config: HipConfig,
    layer: int,
    scale: float,
    sliding_window: int | None,
    position_ids: Tensor | None,
) -> Tensor:
    """Attention of queries at the last positions of the keys; keeps nothing between calls."""
    if sliding_window is not None:
        return sliding_attention(query, key, value, sliding_window, config, scale)
    if position_ids is not None and int(position_ids[0, -1]) + 1 != key.shape[2]:
        # A static cache returns all of its memory, the end of which is not written yet.
        raise ValueError(
            f"hip attention got {key.shape[2]} keys for a token at position {int(position_ids[0, -1])}: "
            "use a dynamic cache, and leave position_ids to the model"
        )
    if query.shape[2] == 1 or config.backend == "dense" or layer < config.dense_layers:
        return dense_attention(query, key, value, scale)
    return attention(query, key, value, config, scale=scale)


def no_mask(*_: Any, attention_mask: Tensor | None, **__: Any) -> None:
    """Build no mask, whatever else transformers says of it. Raises ValueError for one that hides tokens."""
    if attention_mask is not None and not bool(attention_mask.all()):
        raise ValueError("hip attention does not support padding: give one sequence without it")


AttentionInterface.register(NAME, hip_attention_forward)
AttentionMaskInterface.register(NAME, no_mask)
