"""One forward pass written as plainly as can be, straight from a model's file: what the decoder is checked against.

It shares nothing with the decoder and its cache but the names of weights and the frequencies of RoPE: no
joined or packed weights, no cache, no chunks, attention by its formula.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hip_attention.rope_config import Yarn
from torch import Tensor

from hipcli.models.architecture import Architecture
from hipcli.models.weights import Weights


@dataclass(frozen=True)
class Reference:
    """What a model makes of T tokens: logits float32 [T, vocabulary]; by layer, rotated keys and values [H, T, D]."""

    logits: Tensor
    keys: list[Tensor]
    values: list[Tensor]


def plain_forward(architecture: Architecture, weights: Weights, ids: Tensor, yarn: Yarn | None = None) -> Reference:
    """One pass over token ids int64 [T] with dense causal attention. `yarn` stretches positions.

    Products have the weights' dtype; everything between them is float32. Raises HipError as `Weights` does.
    """
    a = architecture
    keys: list[Tensor] = []
    values: list[Tensor] = []
    table = weights.tensor("model.embed_tokens.weight", a.vocabulary, a.hidden)
    x = F.embedding(ids, table).float() * torch.tensor(a.embedding_scale).to(table.dtype).item()
    for layer in range(a.layers):
        name = f"model.layers.{layer}"
        normed = _norm(a, weights, f"{name}.input_layernorm", x)
        attended, key, value = _attention(a, weights, layer, normed, yarn)
        keys.append(key)
        values.append(value)
        if a.sandwich:
            attended = _norm(a, weights, f"{name}.post_attention_layernorm", attended)
        x = x + attended
        before = "pre_feedforward_layernorm" if a.sandwich else "post_attention_layernorm"
        fed = _feed_forward(a, weights, f"{name}.mlp", _norm(a, weights, f"{name}.{before}", x))
        if a.sandwich:
            fed = _norm(a, weights, f"{name}.post_feedforward_layernorm", fed)
        x = x + fed
    x = _norm(a, weights, "model.norm", x)
    head = weights.head(table, tied=a.tied)
    return Reference(F.linear(x.to(head.dtype), head).float(), keys, values)


def _attention(
    a: Architecture, weights: Weights, layer: int, x: Tensor, yarn: Yarn | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Attention of normalised hidden states [T, C]: its output [T, C], keys and values [H, T, D]."""
    name = f"model.layers.{layer}.self_attn"
    query, key, value = (
        _linear(weights, f"{name}.{part}_proj", x, heads * a.head_dim, a.qkv_bias).view(-1, heads, a.head_dim)
        for part, heads in (("q", a.heads), ("k", a.kv_heads), ("v", a.kv_heads))
    )  # [T, H, D]
    if a.qk_norm:
        query, key = (_norm(a, weights, f"{name}.{p}_norm", x) for p, x in (("q", query), ("k", key)))
    frequencies, factor = a.ropes[layer].stretched(yarn).frequencies(a.head_dim)
    position = torch.arange(x.shape[0], device=x.device)
    angles = position[:, None, None] * frequencies.to(x.device)  # [T, 1, D / 2]
    rotation = torch.polar(torch.full_like(angles, factor), angles)
    query, key = (_rotated(part, rotation) for part in (query, key))
    every_key, every_value = (part.repeat_interleave(a.heads // a.kv_heads, 1) for part in (key, value))
    logits = torch.einsum("qhd,khd->hqk", query, every_key) * a.scale
    distance = position[:, None] - position
    masked = (distance < 0) | (distance >= (a.windows[layer] or math.inf))
    weight = logits.masked_fill(masked, -math.inf).softmax(-1)
    attended = torch.einsum("hqk,khd->qhd", weight, every_value).flatten(1)
    output = _linear(weights, f"{name}.o_proj", attended, a.hidden, a.output_bias)
    return output, key.transpose(0, 1), value.transpose(0, 1)


def _rotated(x: Tensor, rotation: Tensor) -> Tensor:
    """x [T, H, D] with its halves as real and imaginary parts, multiplied by complex numbers [T, 1, D / 2]."""
    first, second = x.chunk(2, -1)
    product = torch.complex(first, second) * rotation
    return torch.cat((product.real, product.imag), -1)


def _feed_forward(a: Architecture, weights: Weights, name: str, x: Tensor) -> Tensor:
    gate, up = (_linear(weights, f"{name}.{part}_proj", x, a.intermediate, a.mlp_bias) for part in ("gate", "up"))
    gate = F.silu(gate) if a.activation == "silu" else F.gelu(gate, approximate="tanh")
    return _linear(weights, f"{name}.down_proj", gate * up, a.hidden, a.mlp_bias)


def _linear(weights: Weights, name: str, x: Tensor, outputs: int, bias: bool) -> Tensor:
    weight = weights.tensor(f"{name}.weight", outputs, x.shape[-1])
    product = F.linear(x.to(weight.dtype), weight).float()
    return product + weights.tensor(f"{name}.bias", outputs).float() if bias else product


def _norm(a: Architecture, weights: Weights, name: str, x: Tensor) -> Tensor:
    weight = weights.tensor(f"{name}.weight", x.shape[-1]).float() + a.norm_offset
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + a.norm_eps) * weight
