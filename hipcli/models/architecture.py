"""What config.json says of a model that the own decoder runs: sizes, positions, and what its family does differently.

A key that is not known here might change what the model computes, so it is refused by name and never ignored.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from hip_attention.rope_config import RopeConfig

from hipcli.errors import HipError
from hipcli.models.families import text_config

MAX_LAYERS = 1000  # more are a damaged config.json
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")


class NotOurs(Exception):
    """The own decoder does not run such a model; transformers may."""


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer: RMSNorm, attention with rotary positions, gated feed-forward layers.

    windows: by layer, how many last tokens a row sees; None where it sees all.
    ropes: by layer, its rotary positions.
    scale: what logits of attention are multiplied by.
    norm_offset: what is added to the weights of norms (Gemma stores them less 1).
    sandwich: whether the outputs of attention and of feed-forward layers are normalised too (Gemma).
    """

    family: str
    vocabulary: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    windows: tuple[int | None, ...]
    ropes: tuple[RopeConfig, ...]
    scale: float
    norm_eps: float
    tied: bool
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    activation: Literal["silu", "gelu_tanh"] = "silu"
    embedding_scale: float = 1.0
    norm_offset: float = 0.0
    sandwich: bool = False

    @property
    def layers(self) -> int:
        return len(self.windows)


# What a family leaves out of its config.json, as transformers has it.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 4096},
    "qwen2": {"sliding_window": 4096, "max_window_layers": 28},
    "qwen3": {"sliding_window": 4096, "max_window_layers": 28, "head_dim": 128},
    "gemma3_text": {
        "vocab_size": 262_208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "tie_word_embeddings": True,
    },
}
_SIZES = {
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "rms_norm_eps", "tie_word_embeddings", "max_position_embeddings", "model_type", "hidden_act",
    "rope_theta", "rope_scaling", "rope_parameters", "layer_types", "sliding_window", "is_causal",
}  # fmt: skip
_READ = {
    "llama": {"attention_bias", "mlp_bias", "rope_interleaved"},
    "mistral": set(),
    "qwen2": {"use_sliding_window", "max_window_layers"},
    "qwen3": {"use_sliding_window", "max_window_layers", "attention_bias"},
    "gemma3_text": {
        "attention_bias", "hidden_activation", "rope_local_base_freq", "query_pre_attn_scalar",
        "sliding_window_pattern", "_sliding_window_pattern",
        "attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention",
    },
}  # fmt: skip
# Keys that change nothing when a trained model reads text: of training, generation, labels, libraries.
_HARMLESS = {
    "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_name_or_path", "architectures",
    "attention_dropout", "attn_implementation", "auto_map", "base_model_name_or_path", "bos_token_id",
    "cache_implementation", "chunk_size_feed_forward", "decoder_start_token_id", "dtype", "embd_pdrop", "eos_token_id",
    "gradient_checkpointing", "hidden_dropout", "id2label", "initializer_range", "is_llama_config", "label2id",
    "max_length", "model_max_length", "num_labels", "output_attentions", "output_hidden_states", "pad_token_id",
    "pretraining_tp", "problem_type", "resid_pdrop", "return_dict", "sep_token_id", "seq_length",
    "task_specific_params", "tokenizer_class", "torch_dtype", "transformers.js_config", "transformers_version",
    "unk_token_id", "unsloth_fixed", "unsloth_version", "use_bfloat16", "use_cache",
}  # fmt: skip
_ROPE_KEYS = {
    "default": {"partial_rotary_factor"},
    "linear": {"factor", "partial_rotary_factor"},
    "llama3": {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"},
    "yarn": {
        "factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "attention_factor", "mscale",
        "mscale_all_dim", "truncate", "partial_rotary_factor",
    },
}  # fmt: skip


def read(config: dict[str, Any], name: str) -> Architecture:
    """The architecture in a whole config.json of the model called `name`.

    Raises NotOurs, saying why, for a model that the own decoder does not run, and HipError for one that has a key
    which is not known here, or lacks one that is needed.
    """
    text = text_config(config)
    family = str(text.get("model_type", ""))
    if family not in FAMILIES:
        raise NotOurs(f"{family or 'unknown'} models are run by transformers")
    if "quantization_config" in text or "quantization_config" in config:
        raise NotOurs("quantised safetensors are run by transformers")
    get = _Values({**_DEFAULTS[family], **text}, name)
    _refuse_unknown(text, _SIZES | _READ[family] | _HARMLESS, name)
    if not text.get("is_causal", True):
        raise HipError(
            f"{name}: its config.json has 'is_causal': false, and hip attends to earlier tokens alone",
            "use a model that writes text",
        )
    activation = get.text("hidden_activation" if family == "gemma3_text" else "hidden_act", "silu")
    if activation not in ("silu", "gelu_pytorch_tanh"):
        raise NotOurs(f"feed-forward layers with {activation}")
    for key in ("attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention", "rope_interleaved"):
        if text.get(key):
            raise NotOurs(f"{key} = {text[key]}")
    heads, hidden, layers = (get.count(key) for key in ("num_attention_heads", "hidden_size", "num_hidden_layers"))
    head_dim, kv_heads = get.count("head_dim", hidden // heads), get.count("num_key_value_heads", heads)
    if layers > MAX_LAYERS:
        raise get.unusable("num_hidden_layers")
    if heads % kv_heads:
        raise get.unusable("num_key_value_heads")
    bias = bool(get.values.get("attention_bias", False))
    kinds = _layer_types(family, get, layers)
    ropes = {kind: _rope(kind, get) for kind in set(kinds)}
    window = get.count("sliding_window") if "sliding_attention" in kinds else None
    scalar = get.number("query_pre_attn_scalar") if family == "gemma3_text" else float(head_dim)
    return Architecture(
        family=family,
        vocabulary=get.count("vocab_size"),
        hidden=hidden,
        intermediate=get.count("intermediate_size"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        windows=tuple(window if kind == "sliding_attention" else None for kind in kinds),
        ropes=tuple(ropes[kind] for kind in kinds),
        scale=scalar**-0.5,
        norm_eps=get.number("rms_norm_eps", 1e-6),
        tied=bool(get.values.get("tie_word_embeddings", False)),
        qkv_bias=bias or family == "qwen2",
        output_bias=bias,
        mlp_bias=bool(get.values.get("mlp_bias", False)),
        qk_norm=family in ("qwen3", "gemma3_text"),
        activation="silu" if activation == "silu" else "gelu_tanh",
        embedding_scale=math.sqrt(hidden) if family == "gemma3_text" else 1.0,
        norm_offset=1.0 if family == "gemma3_text" else 0.0,
        sandwich=family == "gemma3_text",
    )


@dataclass(frozen=True)
class _Values:
    """The settings of a model; raises HipError for one that is missing or no number."""

    values: dict[str, Any]
    name: str

    def count(self, key: str, default: int | None = None) -> int:
        value = self.values.get(key) or default
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise self.unusable(key)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.values.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
            raise self.unusable(key)
        return float(value)

    def text(self, key: str, default: str) -> str:
        return str(self.values.get(key) or default)

    def unusable(self, key: str) -> HipError:
        return HipError(f"{self.name}: its config.json has no usable {key}", "download the model again")


def _refuse_unknown(values: dict[str, Any], known: set[str], name: str) -> None:
    """Raise HipError naming a key that is not known and set to something."""
    for key, value in values.items():
        # 0 is something: as a factor it would change everything.
        if key not in known and value is not None and value is not False and value not in ("", [], {}):
            raise HipError(
                f"{name}: its config.json has {key!r}, which hip does not know and which may change what the model "
                "computes",
                "update hip; if the key changes nothing, remove it from config.json",
            )


def _layer_types(family: str, get: _Values, layers: int) -> list[str]:
    """By layer, "full_attention" or "sliding_attention"."""
    kinds = get.values.get("layer_types")
    if isinstance(kinds, list):
        if len(kinds) != layers or not {str(kind) for kind in kinds} <= {"full_attention", "sliding_attention"}:
            raise NotOurs("layers of other types than full and sliding attention")
        if family == "llama" and "sliding_attention" in kinds:
            raise get.unusable("layer_types: Llama models have no sliding attention")
        return [str(kind) for kind in kinds]
    if family == "gemma3_text":
        # transformers ignores the same with an underscore, which stands beside layer_types.
        pattern = get.count("sliding_window_pattern")
        return ["sliding_attention" if (i + 1) % pattern else "full_attention" for i in range(layers)]
    if family == "mistral" and get.values["sliding_window"] is not None:
        return ["sliding_attention"] * layers
    if get.values.get("use_sliding_window") and get.values.get("sliding_window") is not None:
        first = get.values.get("max_window_layers", 0)
        if not isinstance(first, int) or first < 0:
            raise get.unusable("max_window_layers")
        return ["sliding_attention" if i >= first else "full_attention" for i in range(layers)]
    return ["full_attention"] * layers


def rope_settings(text: dict[str, Any], name: str, kind: str = "full_attention") -> dict[str, Any]:
    """Rotary positions of layers of a type, rope_type and rope_theta among them, as transformers reads a config.json.

    rope_scaling, of transformers 4, goes before rope_parameters; with Gemma 3 it goes over what they say of full
    attention. Raises HipError naming one that is no object.
    """
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(text.get(key) or {}, dict):
            raise HipError(f"{name}: its config.json has no usable {key}", "download the model again")
    scaling, parameters = text.get("rope_scaling") or {}, text.get("rope_parameters") or {}
    theta = text.get("rope_theta", 10_000.0)
    if text.get("model_type") == "gemma3_text":
        nested = parameters.get(kind)
        rope = dict(nested) if nested and isinstance(nested, dict) else {"rope_type": "default"}
        if kind == "full_attention":
            rope |= scaling
            theta = text.get("rope_theta", 1_000_000.0)
        else:
            theta = text.get("rope_local_base_freq", 10_000.0)
    else:
        given = scaling or parameters
        nested = given.get(kind)
        rope = dict(nested if isinstance(nested, dict) else given)
    legacy = rope.pop("type", "default")
    rope["rope_type"] = str(rope.get("rope_type", legacy))
    return {"rope_theta": theta, **rope}


def _rope(kind: str, get: _Values) -> RopeConfig:
    """Rotary positions of layers of a type."""
    rope = rope_settings(get.values, get.name, kind)
    if get.text("model_type", "") == "gemma3_text":
        # transformers ignores what is not said by type of layer.
        by_layer = get.values.get("rope_parameters") or {}
        said = {layer for layer in ("full_attention", "sliding_attention") if isinstance(by_layer.get(layer), dict)}
        _refuse_unknown(by_layer, said, f"{get.name}: rope_parameters")
    rope_type, values = rope["rope_type"], _Values(rope, get.name)
    if rope_type not in _ROPE_KEYS:
        raise NotOurs(f"rotary positions of type {rope_type}")
    _refuse_unknown(rope, _ROPE_KEYS[rope_type] | {"rope_type", "rope_theta"}, f"{get.name}: rope_parameters")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise NotOurs("rotary positions of a part of each head")
    theta = values.number("rope_theta")
    if rope_type == "default":
        return RopeConfig(theta)
    factor = values.number("factor")
    if rope_type == "linear":
        return RopeConfig(theta, "linear", factor)
    original = values.count("original_max_position_embeddings", get.count("max_position_embeddings"))
    if rope_type == "llama3":
        low, high = values.number("low_freq_factor"), values.number("high_freq_factor")
        return RopeConfig(theta, "llama3", factor, original, low, high)
    return RopeConfig(
        theta,
        "yarn",
        factor,
        original,
        beta_fast=values.number("beta_fast", 32.0) if rope.get("beta_fast") else 32.0,
        beta_slow=values.number("beta_slow", 1.0) if rope.get("beta_slow") else 1.0,
        attention_factor=_attention_factor(values, factor),
        truncate=bool(rope.get("truncate", True)),
    )


def _attention_factor(rope: _Values, factor: float) -> float | None:
    """What YaRN multiplies cosine and sine by, where the configuration says it (DeepSeek's two coefficients)."""
    if rope.values.get("attention_factor") is not None:
        return rope.number("attention_factor")
    if rope.values.get("mscale") and rope.values.get("mscale_all_dim"):
        one, all_dim = (0.1 * rope.number(key) * math.log(factor) + 1.0 for key in ("mscale", "mscale_all_dim"))
        return one / all_dim if factor > 1 else 1.0
    return None
