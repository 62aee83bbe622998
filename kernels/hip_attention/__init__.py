"""HiP attention: sparse attention to keys that a tree search selects, for prompts too long to attend to densely.

On tensors:

    from hip_attention.attention import attention
    output = attention(query, key, value, HipConfig(top_k=2048))

In a model of transformers:

    import hip_attention.transformers                      # registers attn_implementation="hip"
    model = AutoModelForCausalLM.from_pretrained(name, attn_implementation="hip")

This module imports no torch, so that reading HipConfig's defaults stays instant.
"""

from hip_attention.config import HipConfig

__all__ = ["HipConfig"]
