"""Convert a GGUF file to a folder of safetensors, which is loaded in a moment.

Only families whose every tensor and setting is understood are converted: a GGUF carries no code, so a guess would
show as worse answers and never as an error. Weights become bfloat16 safetensors.
"""

import errno
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipcli.disk.files import require_space
from hipcli.errors import HipError
from hipcli.models.gguf_config import ROPE_FACTORS, SAFETENSORS_HINT, Metadata, read_config
from hipcli.models.gguf_header import open_gguf
from hipcli.models.gguf_tokenizer import generation_settings, rebuild_tokenizer

if TYPE_CHECKING:
    import torch
    from gguf import GGUFReader

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


def convert(path: Path, folder: Path) -> None:
    """Write config, generation config, tokenizer and bfloat16 safetensors of the GGUF at `path` into `folder`.

    Raises HipError when the file is damaged or of a family, rope scaling or tokenizer that cannot be converted
    exactly, and OSError when the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from hipcli.models.quiet import quiet_transformers

    quiet_transformers()
    with _damaged(path.name):
        reader = open_gguf(path)
        metadata = _metadata(reader)
        config = read_config(path.name, reader, metadata)
        tokenizer = rebuild_tokenizer(path, metadata, config["max_position_embeddings"])
        settings = {"config": config, "generation_config": generation_settings(config, reader, metadata)}
    require_space(folder, sum(2 * int(tensor.n_elements) for tensor in reader.tensors))
    tensors = _tensors(path.name, reader, config)
    _check(path.name, config, tensors)
    for name, values in settings.items():
        (folder / f"{name}.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    try:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        tokenizer.save_pretrained(folder)
    except SafetensorError as error:
        # safetensors writes from Rust and reports a full disk in words only.
        raise OSError(errno.ENOSPC if "os error 28" in str(error) else errno.EIO, str(error)) from error


def _check(name: str, config: dict[str, Any], tensors: dict[str, "torch.Tensor"]) -> None:
    """Raise HipError unless the decoder has a use for every tensor, and finds all that it needs."""
    import torch

    from hipcli.models import architecture
    from hipcli.models.decoder import Decoder
    from hipcli.models.weights import Weights

    try:
        ours = architecture.read(config, name)
    except architecture.NotOurs as reason:
        raise HipError(f"{name}: GGUF files with {reason} cannot be converted", SAFETENSORS_HINT) from reason
    weights = Weights(name, {key: partial(_itself, x) for key, x in tensors.items()}, torch.device("meta"))
    Decoder(ours, weights)
    weights.require_all_used()


def _itself(tensor: "torch.Tensor") -> "torch.Tensor":
    return tensor


@contextmanager
def _damaged(name: str) -> Iterator[None]:
    """Raise HipError for what the readers of a header and its tokenizer make of cut-off or hostile bytes.

    They check nothing: such bytes surface as whatever numpy or the interpreter makes of them.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, OverflowError, ArithmeticError, RecursionError, MemoryError) as error:
        raise HipError(f"{name}: damaged or unreadable GGUF file ({error})", "download it again") from error


def _metadata(reader: "GGUFReader") -> Metadata:
    """Everything in the header except the vocabulary, which is long and read where it is needed."""
    long = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.scores", "tokenizer.ggml.token_type"}
    return {key: field.contents() for key, field in reader.fields.items() if key not in long}


def _tensors(name: str, reader: "GGUFReader", config: dict[str, Any]) -> dict[str, "torch.Tensor"]:
    """Every tensor in bfloat16, by its name in safetensors."""
    import gguf
    import torch

    gemma = config["model_type"] == "gemma3_text"
    tensors: dict[str, torch.Tensor] = {}
    for tensor in reader.tensors:
        if tensor.name == ROPE_FACTORS:
            continue
        target = _target(tensor.name, _GEMMA_LAYER if gemma else _LAYER)
        if target is None:
            raise HipError(f"{name}: unknown tensor {tensor.name}", SAFETENSORS_HINT)
        try:
            values = torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type))
        except RuntimeError as error:  # what the library raises for a quantization it does not know is one
            raise HipError(
                f"{name}: {tensor.tensor_type.name} weights cannot be read", "use another quantization"
            ) from error
        if config["model_type"] in ("llama", "mistral") and ("attn_q." in tensor.name or "attn_k." in tensor.name):
            values = _half_split(values, config["head_dim"])
        if gemma and target.endswith("norm.weight"):
            values -= 1  # stored as the multiplier itself; the model adds 1
        tensors[target] = values.to(torch.bfloat16)
    if config["tie_word_embeddings"]:
        # Where both copies are there the output one has more bits: the better one serves for both.
        tensors["model.embed_tokens.weight"] = tensors.pop("lm_head.weight", tensors["model.embed_tokens.weight"])
    return tensors


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
