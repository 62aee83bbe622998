"""What tests of the engine run on: a small random model, settings that make it sparse, and some tokens."""

from dataclasses import replace

import small_config
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

SPARSE = replace(small_config.SPARSE, question="sparse")
DOCUMENT = [(7 * i * i + 3 * i) % 256 for i in range(300)]
QUESTION = [72, 101, 108, 108, 111]


class Bytes:
    """A tokenizer whose tokens are bytes."""

    eos_token_id = 256

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return bytes(i for i in ids if i < 256).decode("utf-8", "replace")


def random_llama(head_dim: int = 8) -> PreTrainedModel:
    """The same model every time, with hip attention; on a GPU heads have at least 16 dimensions."""
    config = LlamaConfig(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=head_dim,
        eos_token_id=None,
        bos_token_id=None,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="hip").eval()
    torch.manual_seed(2)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return model
