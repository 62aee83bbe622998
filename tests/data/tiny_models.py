"""Tiny random models of every family, and GGUF files made from them the way llama.cpp's converter makes them."""

from pathlib import Path
from typing import Any

import gguf
import numpy
import torch
from tokenizers import Tokenizer, decoders, models
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3"}
CHAT_TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"


def make_model(family: str, **settings: Any) -> PreTrainedModel:
    """A random model whose weights are exact in bfloat16, norms included."""
    sizes = SIZES | ({"head_dim": 16} if family == "qwen2" else {})
    if family == "gemma3_text":
        sizes |= {"num_hidden_layers": 6, "sliding_window": 8, "query_pre_attn_scalar": 32}
    if family == "mistral":
        sizes |= {"sliding_window": 8}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **(sizes | settings))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((torch.randn_like(parameter) * 0.25).bfloat16())
    return model


def save_model(folder: Path, family: str, **settings: Any) -> Path:
    """A folder with a random model whose tokens are bytes. With a head of its own it answers in ASCII."""
    model = make_model(family, **settings)
    if not model.config.tie_word_embeddings:
        others = [i for i, token in enumerate(byte_tokens()) if "<|" in token or not token.replace("Ġ", " ").isascii()]
        model.lm_head.weight.data[others] = 0
    model.save_pretrained(folder)
    plain = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(byte_tokens())}, merges=[]))
    plain.pre_tokenizer = ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def byte_tokens() -> list[str]:
    """320 tokens: three control tokens, the bytes, some merges, fillers."""
    merges = [pair.replace(" ", "") for pair in byte_merges()]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet()), *merges]
    return tokens + [f"[PAD{number}]" for number in range(SIZES["vocab_size"] - len(tokens))]


def byte_merges() -> list[str]:
    return ["1 2", "Ġ t", "Ġt h", "Ġth e"]


def write_gguf(
    path: Path,
    model: PreTrainedModel,
    *,
    pre: str = "gpt-2",
    keys: dict[str, Any] | None = None,
    tensors: dict[str, numpy.ndarray] | None = None,
    omit: tuple[str, ...] = (),
    quantization: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> Path:
    """Write `model` as llama.cpp's converter does, with `keys` added below the architecture and `tensors` as given."""
    config = model.config
    architecture = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    writer.add_rope_freq_base(rope["rope_theta"])
    for key, value in (keys or {}).items():
        add = writer.add_string if isinstance(value, str) else writer.add_float32
        (writer.add_uint32 if isinstance(value, int) else add)(f"{architecture}.{key}", value)
    if config.model_type in ("mistral", "gemma3_text"):
        writer.add_sliding_window(config.sliding_window)
    tokens = byte_tokens()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges(byte_merges())
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, values in (_tensors(model) | (tensors or {})).items():
        if name in omit:
            continue
        if values.ndim == 2 and quantization != gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, gguf.quantize(values, quantization), raw_dtype=quantization)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(model: PreTrainedModel) -> dict[str, numpy.ndarray]:
    """Weights under llama.cpp's names, with its changes: Llama's rotary rows interleaved, Gemma's norms plus one."""
    config = model.config
    architecture = ARCHITECTURES[config.model_type]
    kind = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, config.num_hidden_layers)
    found = {}
    for name, parameter in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, _, suffix = name.rpartition(".")
        values = parameter.float()
        if architecture == "llama" and stem.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads if stem.endswith("q_proj") else config.num_key_value_heads
            halves = values.reshape(heads, 2, config.head_dim // 2, *values.shape[1:])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        if architecture == "gemma3" and stem.endswith("norm"):
            values = values + 1
        found[f"{names.get_name(stem)}.{suffix}"] = values.contiguous().numpy()
    return found
