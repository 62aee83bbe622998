"""Turn a GGUF file into a folder that transformers loads in a second, mending what its own GGUF reader loses.

Only families whose every tensor and setting is understood are converted: a GGUF carries no code, so a guess would
show as worse answers and never as an error. Weights become bfloat16 safetensors.
"""

import errno
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipcli.disk.files import require_space
from hipcli.errors import HipError

if TYPE_CHECKING:
    import torch
    from gguf import GGUFReader
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    Metadata = dict[str, Any]

_FAMILIES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3": "gemma3_text"}

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_GEMMA_LAYER = _LAYER | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_ROPE_FACTORS = "rope_freqs.weight"

# How a byte-level vocabulary cuts text into words before merging, by `tokenizer.ggml.pre`. transformers knows the
# regular expressions of the first set; for a name in neither it would silently fall back on GPT-2's.
_SPLIT = {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "tekken", "gpt-4o"} | {
    "qwen2",
    "deepseek-r1-qwen",
}
_NO_SPLIT = {"gpt-2", "smollm"}

# Control tokens that end a turn, whatever the file calls its end-of-text token.
_END_OF_TURN = {
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<|end|>",
    "<eos>",
    "</s>",
}
_CONTROL = 3
_SAFETENSORS_HINT = "use the model's safetensors version: --model ORG/NAME or a folder"


def convert(path: Path, folder: Path) -> None:
    """Write config, generation config, tokenizer and bfloat16 safetensors of the GGUF at `path` into `folder`.

    Raises HipError when the file is damaged or of a family, rope scaling or tokenizer that cannot be converted
    exactly, and OSError when the folder cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    from hipcli.models.quiet import quiet_transformers

    quiet_transformers()
    reader = _open(path)
    require_space(folder, sum(2 * int(tensor.n_elements) for tensor in reader.tensors))
    metadata = _metadata(reader)
    config = _config(path.name, reader, metadata)
    state = _state(path.name, reader, config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    try:
        model.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split()[:40])
        raise HipError(
            f"{path.name}: its tensors are not those of a {config.model_type} model: {detail}", _SAFETENSORS_HINT
        ) from error
    model.tie_weights()
    _set_stop_tokens(model.generation_config, config, reader, metadata)
    tokenizer = _tokenizer(path, metadata, config.max_position_embeddings)
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except SafetensorError as error:
        # safetensors writes from Rust and reports a full disk in words only.
        raise OSError(errno.ENOSPC if "os error 28" in str(error) else errno.EIO, str(error)) from error


def _open(path: Path) -> "GGUFReader":
    from gguf import GGUFReader

    try:
        return GGUFReader(path)
    # The reader checks nothing: cut-off or hostile bytes surface as whatever numpy or the interpreter makes of them.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise HipError(f"{path.name}: damaged or unreadable GGUF file ({error})", "download it again") from error


def _metadata(reader: "GGUFReader") -> "Metadata":
    """Everything in the header except the vocabulary, which is long and read where it is needed."""
    long = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.scores", "tokenizer.ggml.token_type"}
    return {key: field.contents() for key, field in reader.fields.items() if key not in long}


def _config(name: str, reader: "GGUFReader", metadata: "Metadata") -> "PretrainedConfig":
    from transformers import AutoConfig

    architecture = metadata.get("general.architecture")
    if architecture not in _FAMILIES:
        raise HipError(
            f"{name}: GGUF files of architecture {architecture!r} cannot be converted ({', '.join(_FAMILIES)} can)",
            _SAFETENSORS_HINT,
        )
    if metadata.get("split.count", 1) > 1:
        raise HipError(f"{name}: one part of a GGUF in several files", "join them with `llama-gguf-split --merge`")

    def get(suffix: str, default: Any = None) -> Any:
        return metadata.get(f"{architecture}.{suffix}", default)

    def need(suffix: str) -> Any:
        value = get(suffix)
        if not isinstance(value, int | float):
            raise HipError(f"{name}: GGUF key {architecture}.{suffix} is {value!r}", _SAFETENSORS_HINT)
        return value

    if get("expert_count", 0):
        raise HipError(f"{name}: mixture-of-experts GGUF files cannot be converted", _SAFETENSORS_HINT)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    if "token_embd.weight" not in tensors:
        raise HipError(f"{name}: no token_embd.weight in it", "give the GGUF of a whole language model")
    heads = need("attention.head_count")
    head_dim = get("attention.key_length") or need("embedding_length") // heads
    if get("attention.value_length", head_dim) != head_dim or get("rope.dimension_count", head_dim) != head_dim:
        raise HipError(f"{name}: values or rotary part of another width than the keys", _SAFETENSORS_HINT)
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
        raise HipError(f"{name}: a sliding window in a {family} GGUF cannot be converted", _SAFETENSORS_HINT)
    return AutoConfig.for_model(family, **settings)


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


def _rope(name: str, metadata: "Metadata", architecture: str, head_dim: int, tensors: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings in transformers' words, scaling included (its own GGUF reader drops all scaling)."""
    prefix = f"{architecture}.rope."
    theta = metadata.get(prefix + "freq_base", 10_000.0)
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    kind = metadata.get(prefix + "scaling.type", "none")
    factor = float(metadata.get(prefix + "scaling.factor") or metadata.get(prefix + "scale_linear") or 1.0)
    if _ROPE_FACTORS in tensors:
        return rope | _llama3_scaling(name, theta, head_dim, [float(x) for x in tensors[_ROPE_FACTORS].data])
    if kind == "yarn":
        original = metadata.get(prefix + "scaling.original_context_length")
        if not original:
            raise HipError(f"{name}: YaRN rope scaling without the original context length", _SAFETENSORS_HINT)
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
        raise HipError(f"{name}: rope scaling of type {kind!r} cannot be converted", _SAFETENSORS_HINT)
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
            turns = original * theta ** (-2 * index / head_dim) / (2 * math.pi)
            smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
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
    raise HipError(f"{name}: rope factors that follow no known rule", _SAFETENSORS_HINT)


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
    return rows[0].shape == rows[1].shape and bool(
        numpy.linalg.norm(rows[0] - rows[1]) < 0.2 * numpy.linalg.norm(rows[1])
    )


def _state(name: str, reader: "GGUFReader", config: "PretrainedConfig") -> dict[str, "torch.Tensor"]:
    """Every tensor in bfloat16 under its name in transformers."""
    import gguf
    import torch

    gemma = config.model_type == "gemma3_text"
    state = {}
    for tensor in reader.tensors:
        if tensor.name == _ROPE_FACTORS:
            continue
        target = _target(tensor.name, _GEMMA_LAYER if gemma else _LAYER)
        if target is None:
            raise HipError(f"{name}: unknown tensor {tensor.name}", _SAFETENSORS_HINT)
        try:
            values = torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type))
        except RuntimeError as error:  # what the library raises for a quantization it does not know is one
            raise HipError(
                f"{name}: {tensor.tensor_type.name} weights cannot be read", "use another quantization"
            ) from error
        if config.model_type in ("llama", "mistral") and ("attn_q." in tensor.name or "attn_k." in tensor.name):
            values = _half_split(values, config.head_dim)
        if gemma and target.endswith("norm.weight"):
            values -= 1  # stored as the multiplier itself; the model adds 1
        state[target] = values.to(torch.bfloat16)
    if config.tie_word_embeddings:
        # Where both copies are there the output one has more bits: the better one serves for both.
        shared = state.get("lm_head.weight", state["model.embed_tokens.weight"])
        state["lm_head.weight"] = state["model.embed_tokens.weight"] = shared
    return state


def _target(name: str, layer: dict[str, str]) -> str | None:
    if match := re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name):
        number, part, kind = match.groups()
        return f"model.layers.{number}.{layer[part]}.{kind}" if part in layer else None
    part, _, kind = name.rpartition(".")
    return f"{_TOP[part]}.{kind}" if part in _TOP else None


def _half_split(values: "torch.Tensor", head_dim: int) -> "torch.Tensor":
    """Rows of each head from (pair, member) order, as llama.cpp rotates, to (member, pair), as transformers does."""
    pairs = values.reshape(-1, head_dim // 2, 2, *values.shape[1:])
    return pairs.transpose(1, 2).reshape(values.shape)


def _set_stop_tokens(generation: Any, config: "PretrainedConfig", reader: "GGUFReader", metadata: "Metadata") -> None:
    """A GGUF names one end token; a chat model has several, and runs on past an answer when one is missed."""
    stop = {metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom")} - {None}
    tokens = reader.fields["tokenizer.ggml.tokens"].contents() if "tokenizer.ggml.tokens" in reader.fields else []
    types = (
        reader.fields["tokenizer.ggml.token_type"].contents() if "tokenizer.ggml.token_type" in reader.fields else []
    )
    stop |= {
        index
        for index, (token, kind) in enumerate(zip(tokens, types, strict=False))
        if kind == _CONTROL and token in _END_OF_TURN
    }
    generation.bos_token_id = config.bos_token_id
    generation.pad_token_id = config.pad_token_id
    generation.eos_token_id = sorted(stop) or None


def _tokenizer(path: Path, metadata: "Metadata", window: int) -> "PreTrainedTokenizerFast":
    from tokenizers import normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    model, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if model not in ("gpt2", "llama") or (model == "gpt2" and pre not in _SPLIT | _NO_SPLIT):
        raise HipError(f"{path.name}: its tokenizer ({model}, {pre}) cannot be rebuilt", _SAFETENSORS_HINT)
    # Built directly: `from_pretrained` would prefer a tokenizer.json that happens to lie beside the file.
    tokenizer = PreTrainedTokenizerFast(name_or_path=str(path.parent), gguf_file=path.name)
    backend = tokenizer.backend_tokenizer
    if model == "gpt2" and pre in _SPLIT and "Split" not in repr(backend.pre_tokenizer):
        raise HipError(f"{path.name}: this transformers cannot rebuild its tokenizer", "update transformers")
    if pre == "smollm":
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    if pre == "qwen2":
        backend.normalizer = normalizers.NFC()
    tokenizer.model_max_length = window
    return tokenizer
