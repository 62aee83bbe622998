"""The header of a GGUF file as a config.json, rope scaling included, which transformers' GGUF reader drops."""

import math
from typing import TYPE_CHECKING, Any

from hipcli.errors import HipError

if TYPE_CHECKING:
    from gguf import GGUFReader

Metadata = dict[str, Any]

ROPE_FACTORS = "rope_freqs.weight"
SAFETENSORS_HINT = "use the model's safetensors version: --model ORG/NAME or a folder"

_FAMILIES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3": "gemma3_text"}
# Keys below the architecture that are read, or change nothing in these families. Any other may change what the model
# computes: it is refused by name.
_KEYS = {
    "context_length", "embedding_length", "block_count", "feed_forward_length", "vocab_size", "tensor_data_layout",
    "expert_count", "expert_used_count", "attention.head_count", "attention.head_count_kv", "attention.key_length",
    "attention.value_length", "attention.layer_norm_rms_epsilon", "attention.sliding_window", "rope.dimension_count",
    "rope.freq_base", "rope.scale_linear", "rope.scaling.type", "rope.scaling.factor", "rope.scaling.finetuned",
    "rope.scaling.original_context_length", "rope.scaling.attn_factor", "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
}  # fmt: skip
_GEMMA_KEYS = _KEYS | {
    "attention.sliding_window_pattern", "attention.key_length_swa", "attention.value_length_swa",
    "rope.dimension_count_swa", "rope.freq_base_swa", "final_logit_softcapping",
}  # fmt: skip
_WIDTHS = (
    "attention.value_length", "attention.key_length_swa", "attention.value_length_swa", "rope.dimension_count",
    "rope.dimension_count_swa",
)  # fmt: skip
_CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
}


def read_config(name: str, reader: "GGUFReader", metadata: Metadata) -> dict[str, Any]:
    """The config.json of the model in a GGUF file. Raises HipError for what cannot be converted exactly."""
    architecture = metadata.get("general.architecture")
    if architecture not in _FAMILIES:
        raise HipError(
            f"{name}: GGUF files of architecture {architecture!r} cannot be converted ({', '.join(_FAMILIES)} can)",
            SAFETENSORS_HINT,
        )
    if metadata.get("split.count", 1) > 1:
        raise HipError(f"{name}: one part of a GGUF in several files", "join them with `llama-gguf-split --merge`")

    def get(suffix: str, default: Any = None) -> Any:
        return metadata.get(f"{architecture}.{suffix}", default)

    def need(suffix: str) -> Any:
        value = get(suffix)
        if not isinstance(value, int | float):
            raise HipError(f"{name}: GGUF key {architecture}.{suffix} is {value!r}", SAFETENSORS_HINT)
        return value

    known = _GEMMA_KEYS if architecture == "gemma3" else _KEYS
    for key in metadata:
        if key.startswith(f"{architecture}.") and key.removeprefix(f"{architecture}.") not in known:
            raise HipError(f"{name}: GGUF key {key}, which may change what the model computes", SAFETENSORS_HINT)
    if get("expert_count", 0):
        raise HipError(f"{name}: mixture-of-experts GGUF files cannot be converted", SAFETENSORS_HINT)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    if "token_embd.weight" not in tensors:
        raise HipError(f"{name}: no token_embd.weight in it", "give the GGUF of a whole language model")
    heads = need("attention.head_count")
    head_dim = get("attention.key_length") or need("embedding_length") // heads
    if any(get(width, head_dim) != head_dim for width in _WIDTHS):
        raise HipError(f"{name}: values or rotary part of another width than the keys", SAFETENSORS_HINT)
    rope = _rope(name, metadata, architecture, head_dim, tensors)
    window = need("context_length")
    if rope["rope_type"] == "yarn":
        window = max(window, round(rope["factor"] * rope["original_max_position_embeddings"]))
    family = _FAMILIES[architecture]
    settings: dict[str, Any] = {
        "vocab_size": int(tensors["token_embd.weight"].shape[1]),
        "hidden_size": need("embedding_length"),
        "intermediate_size": need("feed_forward_length"),
        "num_hidden_layers": need("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": get("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "rms_norm_eps": need("attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": window,
        "rope_parameters": rope,
        "tie_word_embeddings": _is_tied(tensors),
        "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": metadata.get("tokenizer.ggml.padding_token_id"),
    }
    sliding_window = get("attention.sliding_window")
    if family == "gemma3_text":
        settings |= _gemma_settings(settings, rope, sliding_window, get)
    elif family == "llama" and sliding_window:
        family, settings["sliding_window"] = "mistral", sliding_window
    elif sliding_window:
        raise HipError(f"{name}: a sliding window in a {family} GGUF cannot be converted", SAFETENSORS_HINT)
    return {"model_type": family, "architectures": [_CLASSES[family]], "dtype": "bfloat16", **settings}


def _gemma_settings(settings: dict[str, Any], rope: dict[str, Any], window: int | None, get: Any) -> dict[str, Any]:
    """What Gemma 3 has beyond the others: every sixth layer is global, the rest slide with a rope of their own."""
    pattern = get("attention.sliding_window_pattern", 6)
    sliding = (
        pattern
        if isinstance(pattern, list)
        else [bool((layer + 1) % pattern) for layer in range(settings["num_hidden_layers"])]
    )
    local = {"rope_type": "default", "rope_theta": get("rope.freq_base_swa", 10_000.0)}
    # Only the 27B model scales queries by the width of a head in the residual stream; the header does not say so.
    is_27b = settings["num_hidden_layers"] == 62
    head_width = settings["hidden_size"] // settings["num_attention_heads"]
    return {
        "rope_parameters": {"full_attention": rope, "sliding_attention": local},
        "sliding_window": window,
        "layer_types": ["sliding_attention" if slides else "full_attention" for slides in sliding],
        "query_pre_attn_scalar": head_width if is_27b else settings["head_dim"],
        "final_logit_softcapping": get("final_logit_softcapping"),
    }


def _rope(name: str, metadata: Metadata, architecture: str, head_dim: int, tensors: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings in transformers' words, scaling included (its own GGUF reader drops all scaling)."""
    prefix = f"{architecture}.rope."
    theta = metadata.get(prefix + "freq_base", 10_000.0)
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    kind = metadata.get(prefix + "scaling.type", "none")
    factor = float(metadata.get(prefix + "scaling.factor") or metadata.get(prefix + "scale_linear") or 1.0)
    if ROPE_FACTORS in tensors:
        return rope | _llama3_scaling(name, theta, head_dim, [float(x) for x in tensors[ROPE_FACTORS].data])
    if kind == "yarn":
        original = metadata.get(prefix + "scaling.original_context_length")
        if not original:
            raise HipError(f"{name}: YaRN rope scaling without the original context length", SAFETENSORS_HINT)
        rope |= {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
        for ours, theirs in (("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")):
            if prefix + "scaling." + theirs in metadata:
                rope[ours] = metadata[prefix + "scaling." + theirs]
        attention = metadata.get(prefix + "scaling.attn_factor")
        if attention is not None:
            rope["attention_factor"] = attention * (1 + 0.1 * math.log(factor))
        return rope
    if kind == "linear" or (kind == "none" and factor != 1.0):
        return rope | ({"rope_type": "linear", "factor": factor} if factor != 1.0 else {})
    if kind != "none":
        raise HipError(f"{name}: rope scaling of type {kind!r} cannot be converted", SAFETENSORS_HINT)
    return rope


def _llama3_scaling(name: str, theta: float, head_dim: int, factors: list[float]) -> dict[str, Any]:
    """The Llama 3 rope parameters that give these per-frequency divisors, {} if all are 1.

    A GGUF states the divisors alone. Meta's rule has four parameters, of which three never changed; each candidate
    for the original window is computed and must reproduce every divisor.
    """
    scale, low, high = max(factors), 1.0, 4.0
    if all(factor == 1.0 for factor in factors):
        return {}
    for original in (8192, 4096, 16384, 32768):
        expected = []
        for index in range(head_dim // 2):
            rotations = original * theta ** (-2 * index / head_dim) / (2 * math.pi)
            smooth = min(max((rotations - low) / (high - low), 0.0), 1.0)
            expected.append(1 / ((1 - smooth) / scale + smooth))
        if len(expected) == len(factors) and all(
            math.isclose(a, b, rel_tol=1e-3) for a, b in zip(expected, factors, strict=True)
        ):
            return {
                "rope_type": "llama3",
                "factor": scale,
                "low_freq_factor": low,
                "high_freq_factor": high,
                "original_max_position_embeddings": original,
            }
    raise HipError(f"{name}: rope factors that follow no known rule", SAFETENSORS_HINT)


def _is_tied(tensors: dict[str, Any]) -> bool:
    """Whether input and output embeddings are one matrix, also where the file quantized it twice.

    Two roundings of one matrix are some percent apart, two different matrices more than 100 %.
    """
    import gguf
    import numpy

    embedding, output = tensors["token_embd.weight"], tensors.get("output.weight")
    if output is None:
        return True
    step = max(1, len(embedding.data) // 1024)
    rows = [gguf.dequantize(tensor.data[::step], tensor.tensor_type) for tensor in (embedding, output)]
    # Weights of a damaged file may be infinite, of which numpy would warn on the terminal.
    with numpy.errstate(all="ignore"):
        return rows[0].shape == rows[1].shape and bool(
            numpy.linalg.norm(rows[0] - rows[1]) < 0.2 * numpy.linalg.norm(rows[1])
        )
