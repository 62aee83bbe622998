"""HiP attention: sparse attention found by a tree search, for prompts too long to read densely.

    import hip_attention.transformers                      # registers attn_implementation="hip"
    model = AutoModelForCausalLM.from_pretrained(name, attn_implementation="hip")

or, for people with tensors, `hip_attention.attention(query, key, value, HipConfig(top_k=2048))`.
"""

from typing import TYPE_CHECKING, Any

from hip_attention.config import HipConfig

if TYPE_CHECKING:
    from hip_attention.attention import attention

__all__ = ["HipConfig", "attention"]


def __getattr__(name: str) -> Any:
    # torch is imported on first use, so that reading HipConfig's defaults stays instant.
    if name == "attention":
        from hip_attention.attention import attention

        return attention
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
