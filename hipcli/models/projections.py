"""Queries, keys and values in one product, rotated together or not at all.

transformers computes them in three products and rotates queries and keys apart, five operations each, also where hip
hands out a rotation by nothing: 12 of some 25 kernels a layer of a decoded token. Products are as they were but for the
order of their sums, so outputs are equal within rounding.
"""

from collections import Counter
from typing import Any

import torch
from hip_attention.rope import is_identity, rotated
from hip_attention.transformers import replaced_attention
from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

# Classes whose forward is the one below. Others inherit from them by name or in part, and stay as they are.
FAMILIES = {"LlamaAttention", "MistralAttention", "Qwen2Attention", "Qwen3Attention"}
# What attention functions and others read from the module that they are called with.
_ATTRIBUTES = (
    "config", "layer_idx", "layer_type", "head_dim", "num_key_value_groups", "scaling", "attention_dropout",
    "is_causal", "sliding_window",
)  # fmt: skip
_SAMPLE_TOKENS = 16


class FusedAttention(nn.Module):
    """A transformers attention module, for evaluation, over a copy of its weights for queries, keys and values.

    It cannot be saved under the original's names. `options` are what the original hands to the attention function
    beside tensors, such as its scaling and its sliding window.
    """

    config: Any
    layer_idx: int

    def __init__(self, original: Any, options: dict[str, Any]) -> None:
        super().__init__()
        for name in _ATTRIBUTES:
            if hasattr(original, name):
                setattr(self, name, getattr(original, name))
        linears = _projections(original)
        self._heads = [linear.out_features // original.head_dim for linear in linears]  # Hq, Hkv, Hkv
        self._options = options
        weight = torch.cat([linear.weight for linear in linears])
        self.qkv_proj = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.qkv_proj.weight = nn.Parameter(weight)
        if linears[0].bias is not None:
            self.qkv_proj.bias = nn.Parameter(torch.cat([linear.bias for linear in linears]))
        self.q_norm: nn.Module | None = getattr(original, "q_norm", None)
        self.k_norm: nn.Module | None = getattr(original, "k_norm", None)
        self.o_proj = original.o_proj

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention for hidden_states [B, T, C] with cosine and sine [B or 1, T, D] of their dtype.

        Returns [B, T, C] and what the attention function gives as weights. Raises KeyError for an attention
        implementation that is not a registered function, as "eager" is not.
        """
        shape = hidden_states.shape[:-1]
        states = self.qkv_proj(hidden_states).view(*shape, sum(self._heads), -1)  # [B, T, Hq + 2 Hkv, D]
        query, key, value = (x.transpose(1, 2) for x in self._split(states, position_embeddings))
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        output, weights = attend(self, query, key, value, attention_mask, **self._options, **options)
        return self.o_proj(output.reshape(*shape, -1)), weights

    def _split(self, states: Tensor, position_embeddings: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Query [B, T, Hq, D], key and value [B, T, Hkv, D] of states [B, T, Hq + 2 Hkv, D], normalised and rotated."""
        query, key, value = states.split(self._heads, 2)
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        cosine, sine = position_embeddings
        if is_identity(cosine):
            return query, key, value
        together = states[:, :, : -self._heads[2]] if self.q_norm is None else torch.cat((query, key), 2)
        query, key = rotated(together, cosine.unsqueeze(2), sine.unsqueeze(2)).split(self._heads[:2], 2)
        return query, key, value


@torch.no_grad()
def fuse_attention(model: nn.Module) -> None:
    """Replace every attention module, called `self_attn`, that is found to compute the same with hip's attention.

    Modules of other classes, with quantised or shared weights, or with another attention stay as they are. Beside the
    model there is never more than one layer's copy in memory.
    """
    uses = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    # A list of layers: one of attention modules would keep the weights that are replaced.
    layers: list[Any] = [x for x in model.modules() if type(getattr(x, "self_attn", None)).__name__ in FAMILIES]
    for layer in layers:
        owned = all(uses[id(parameter)] == 1 for parameter in layer.self_attn.parameters())
        if owned and (fused := _fused(layer.self_attn)) is not None:
            layer.self_attn = fused


def _fused(original: Any) -> FusedAttention | None:
    """What replaces an attention module; None where that cannot be, or where outputs differ by more than rounding."""
    linears = _projections(original)
    if not all(type(linear) is nn.Linear for linear in linears) or "forward" in vars(original):
        return None  # quantised, or somebody's own
    if len({(linear.weight.dtype, linear.weight.device, linear.bias is None) for linear in linears}) != 1:
        return None
    weight, generator = linears[0].weight, torch.Generator().manual_seed(0)
    hidden = torch.randn(1, _SAMPLE_TOKENS, weight.shape[1], generator=generator).to(weight)
    angle = torch.randn(1, _SAMPLE_TOKENS, original.head_dim, generator=generator)
    tables = angle.cos().to(weight), angle.sin().to(weight)
    expected, calls = _output(original, hidden, tables)
    if len(calls) != 1:
        return None  # attends in another way
    fused = FusedAttention(original, calls[0]).eval()
    found, _ = _output(fused, hidden, tables)
    rounding = max(1e-4, 4 * torch.finfo(weight.dtype).eps)
    return fused if bool((found - expected).abs().max() <= rounding * expected.abs().max()) else None


def _output(module: nn.Module, hidden: Tensor, tables: tuple[Tensor, Tensor]) -> tuple[Tensor, list[dict[str, Any]]]:
    """Output [1, T, C] of an attention module, and what the attention function was given beside tensors, call by call.

    That function is a sum here: where logits are large, a softmax makes much of rounding.
    """
    calls = []

    def add(_: nn.Module, query: Tensor, key: Tensor, value: Tensor, __: None, **options: Any) -> tuple[Tensor, None]:
        calls.append(options)
        output = query + (key + 2 * value).repeat_interleave(query.shape[1] // key.shape[1], 1)
        return output.transpose(1, 2).contiguous(), None

    with replaced_attention(add):
        output: Tensor = module(hidden_states=hidden, position_embeddings=tables, attention_mask=None)[0]
    return output, calls


def _projections(original: Any) -> list[nn.Linear]:
    return [original.q_proj, original.k_proj, original.v_proj]
