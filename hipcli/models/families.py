"""Which models hip can read with, decided from config.json before any weights are touched."""

from typing import Any

from hipcli.errors import HipError

_WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_ENCODER_DECODERS = {"t5", "mt5", "umt5", "longt5", "bart", "mbart", "pegasus", "led", "marian", "m2m_100", "whisper"}
_ENCODERS = {"bert", "roberta", "xlm-roberta", "distilbert", "deberta", "deberta-v2", "electra", "albert", "modernbert"}
_RECURRENT = ("mamba", "rwkv", "xlstm", "jamba", "bamba", "zamba", "nemotron_h", "falcon_h1", "recurrent_gemma")
_ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention", "attention"}

# Gemma 3's multimodal configs leave out what equals the class defaults.
_GEMMA3_TEXT = {
    "model_type": "gemma3_text",
    "hidden_size": 2304,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
}
_HINT = "use a decoder-only model with attention in every layer, such as Llama, Qwen 2 or 3, Mistral or Gemma 3"


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a config that describes the language model: of a multimodal wrapper its text part."""
    inner = config.get("text_config")
    if not isinstance(inner, dict):
        return config
    return (_GEMMA3_TEXT if config.get("model_type") == "gemma3" else {}) | inner


def check_family(config: dict[str, Any], name: str) -> None:
    """Raise HipError, naming the reason, for a model whose attention hip cannot replace."""
    reason = _reason(config)
    if reason:
        raise HipError(f"{name}: {reason}", _HINT)


def _reason(config: dict[str, Any]) -> str | None:
    family = str(config.get("model_type", ""))
    text = text_config(config)
    architectures = [str(item) for item in config.get("architectures") or []]
    if config.get("is_encoder_decoder") or family in _ENCODER_DECODERS:
        return f"an encoder-decoder model ({family}), which reads in one half and writes in the other"
    if family in _ENCODERS or (architectures and not any(item.endswith(_WRITERS) for item in architectures)):
        return f"not a model that writes text ({', '.join(architectures) or family})"
    if text is not config and family != "gemma3":
        return f"a multimodal model ({family}) whose text part cannot be loaded alone"
    layer_types = text.get("layer_types")
    recurrent_layers = isinstance(layer_types, list) and not {str(kind) for kind in layer_types} <= _ATTENTION_LAYERS
    if recurrent_layers or any(part in str(text.get("model_type", family)) for part in _RECURRENT):
        return f"a state-space or recurrent model ({family}), which has no attention to prune in some or all layers"
    if text.get("kv_lora_rank"):
        return f"multi-head latent attention ({family}), whose cache holds no keys to prune"
    if text.get("use_bidirectional_attention"):
        return f"an embedding model ({family}) that attends in both directions"
    return None
