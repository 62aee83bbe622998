"""The tokenizer in a GGUF file, mended where transformers' reader is not exact."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipcli.errors import HipError, first_line
from hipcli.models.gguf_config import SAFETENSORS_HINT, Metadata

if TYPE_CHECKING:
    from gguf import GGUFReader
    from transformers import PreTrainedTokenizerFast

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


def generation_settings(config: Mapping[str, Any], reader: "GGUFReader", metadata: Metadata) -> dict[str, Any]:
    """The generation_config.json of a model: its control tokens, and all tokens that end an answer.

    A GGUF names one end token; a chat model has several, and runs on past an answer when one is missed.
    """
    stop = {metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom")} - {None}
    tokens, types = (
        reader.fields[key].contents() if key in reader.fields else []
        for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type")
    )
    stop |= {
        index
        for index, (token, kind) in enumerate(zip(tokens, types, strict=False))
        if kind == _CONTROL and token in _END_OF_TURN
    }
    names = ("bos_token_id", "pad_token_id")
    return {"eos_token_id": sorted(stop) or None, **{name: config.get(name) for name in names}}


def rebuild_tokenizer(path: Path, metadata: Metadata, window: int) -> "PreTrainedTokenizerFast":
    """The tokenizer in a GGUF file. Raises HipError for one that cannot be rebuilt exactly."""
    from tokenizers import normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    model, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if model not in ("gpt2", "llama") or (model == "gpt2" and pre not in _SPLIT | _NO_SPLIT):
        raise HipError(f"{path.name}: its tokenizer ({model}, {pre}) cannot be rebuilt", SAFETENSORS_HINT)
    # Built directly: `from_pretrained` would prefer a tokenizer.json that happens to lie beside the file.
    try:
        tokenizer = PreTrainedTokenizerFast(name_or_path=str(path.parent), gguf_file=path.name)
    except Exception as error:  # nothing narrower is raised for merges of tokens that are not there
        raise HipError(f"{path.name}: its tokenizer is damaged ({first_line(error)})", "download it again") from error
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
