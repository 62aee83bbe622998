"""The decoder of Llama, Mistral, Qwen 2, Qwen 3 and Gemma 3: token ids in, hidden states and logits out.

What a page can hold is here: embedding, norms, one product for queries, keys and values, one for gate and up, and the
head. RoPE, keys and values, and attention are the cache's (`hip_attention.cache`), in one explicit call a layer.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from hip_attention.cache.cache import Cache
from hip_attention.cache.layer import SparseAttention
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig
from hip_attention.rope import Rope
from hip_attention.rope_config import RopeConfig, Yarn
from torch import Tensor

from hipcli.models.architecture import Architecture
from hipcli.models.linear import Linear
from hipcli.models.weights import Weights

FEW = 1 << 13  # numbers that are normalised in less time than operations take to start


class Norm:
    """x [..., D] divided by its root mean square over D, times a weight [D] (RMSNorm, arXiv 1910.07467)."""

    def __init__(self, weight: Tensor, eps: float, offset: float = 0.0) -> None:
        self._weight = weight.float() + offset if offset else weight
        self._eps = eps
        self._twice = torch.cat((self._weight, self._weight))

    def __call__(self, x: Tensor) -> Tensor:
        dim, dtype = x.shape[-1], x.dtype
        if self._weight.dtype != dtype:
            return F.rms_norm(x.to(self._weight.dtype), (dim,), self._weight, self._eps).to(dtype)
        if x.device.type == "cpu" and x.numel() <= FEW:
            # On a CPU rms_norm is a row of operations. A layer norm is one: x and -x have mean 0, and for deviation
            # the root mean square of x.
            return F.layer_norm(torch.cat((x, -x), -1), (2 * dim,), self._twice, None, self._eps)[..., :dim]
        return F.rms_norm(x, (dim,), self._weight, self._eps)


class Attention:
    """Attention of one layer: hidden states [T, C] to [T, C]."""

    def __init__(self, architecture: Architecture, weights: Weights, layer: int) -> None:
        a, name = architecture, f"model.layers.{layer}.self_attn."
        self._layer = layer
        self._heads = (a.heads, a.kv_heads, a.kv_heads)
        self._shape = (sum(self._heads), a.head_dim)
        self._scale, self._window = a.scale, a.windows[layer]
        outputs = [(f"{name}{part}_proj", n * a.head_dim) for part, n in zip("qkv", self._heads, strict=True)]
        self._qkv = weights.linear(outputs, a.hidden, a.qkv_bias)
        self._output = weights.linear([(f"{name}o_proj", a.hidden)], a.heads * a.head_dim, a.output_bias)
        self._norms: tuple[Norm, Norm] | None = None
        if a.qk_norm:
            query, key = (weights.tensor(f"{name}{part}_norm.weight", a.head_dim) for part in "qk")
            self._norms = Norm(query, a.norm_eps, a.norm_offset), Norm(key, a.norm_eps, a.norm_offset)

    def __call__(self, x: Tensor, cache: Cache, step: Step) -> Tensor:
        query, key, value = self._qkv(x).view(-1, *self._shape).split(self._heads, 1)  # [T, H, D] each
        if self._norms is not None:
            query, key = self._norms[0](query), self._norms[1](key)
        query, key, value = (x.transpose(0, 1)[None] for x in (query, key, value))  # [1, H, T, D]
        output = cache.attend(self._layer, query, key, value, step, scale=self._scale, sliding_window=self._window)
        return self._output(output[0].transpose(0, 1).flatten(1))


class FeedForward:
    """Gated feed-forward layer (SwiGLU, arXiv 2002.05202): hidden states [T, C] to [T, C]."""

    def __init__(self, architecture: Architecture, weights: Weights, layer: int) -> None:
        a, name = architecture, f"model.layers.{layer}.mlp."
        gate_up = [(f"{name}{part}_proj", a.intermediate) for part in ("gate", "up")]
        self._gate_up = weights.linear(gate_up, a.hidden, a.mlp_bias)
        self._down = weights.linear([(f"{name}down_proj", a.hidden)], a.intermediate, a.mlp_bias)
        self._silu = a.activation == "silu"

    def __call__(self, x: Tensor) -> Tensor:
        gate, up = self._gate_up(x).chunk(2, -1)
        return self._down((F.silu(gate) if self._silu else F.gelu(gate, approximate="tanh")) * up)


class Layer:
    """Attention, then a feed-forward layer, each added to the hidden states [T, C] that it reads normalised."""

    def __init__(self, architecture: Architecture, weights: Weights, layer: int) -> None:
        a = architecture

        def norm(name: str) -> Norm:
            return Norm(weights.tensor(f"model.layers.{layer}.{name}.weight", a.hidden), a.norm_eps, a.norm_offset)

        self._attention = Attention(a, weights, layer)
        self._feed_forward = FeedForward(a, weights, layer)
        self._before_attention = norm("input_layernorm")
        self._after_attention = norm("post_attention_layernorm") if a.sandwich else None
        self._before = norm("pre_feedforward_layernorm" if a.sandwich else "post_attention_layernorm")
        self._after = norm("post_feedforward_layernorm") if a.sandwich else None

    def __call__(self, x: Tensor, cache: Cache, step: Step) -> Tensor:
        attended = self._attention(self._before_attention(x), cache, step)
        x = x + (attended if self._after_attention is None else self._after_attention(attended))
        fed = self._feed_forward(self._before(x))
        return x + (fed if self._after is None else self._after(fed))


class Decoder:
    """A whole model over the weights of its file."""

    def __init__(self, architecture: Architecture, weights: Weights) -> None:
        a = architecture
        self.architecture = a
        self.device, self.dtype = weights.device, weights.dtype
        self._embedding = weights.tensor("model.embed_tokens.weight", a.vocabulary, a.hidden)
        self._layers = [Layer(a, weights, layer) for layer in range(a.layers)]
        self._norm = Norm(weights.tensor("model.norm.weight", a.hidden), a.norm_eps, a.norm_offset)
        # Not packed, a tied head takes no memory of its own.
        self._head = Linear(weights.head(self._embedding, tied=a.tied), packed=weights.unpacked_because is None)
        # transformers rounds the factor to the weights' type.
        self._scale = None
        if a.embedding_scale != 1:
            self._scale = torch.tensor(a.embedding_scale, dtype=self.dtype, device=self.device)

    @property
    def windows(self) -> Sequence[int | None]:
        """By layer, how many last tokens a row sees; None where it sees all."""
        return self.architecture.windows

    @property
    def vocabulary(self) -> int:
        """How many tokens have an embedding."""
        return self.architecture.vocabulary

    def make_cache(
        self,
        config: HipConfig,
        capacity: int = 0,
        *,
        attention: SparseAttention | None = None,
        yarn: Yarn | None = None,
        int8: bool = False,
    ) -> Cache:
        """An empty cache for `capacity` tokens; other arguments as in `Cache`. `yarn` stretches positions.

        Raises ValueError for positions that cannot be stretched, and as `Cache` does.
        """
        ropes = _ropes(self.architecture.ropes, self.architecture.head_dim, capacity, yarn)
        return Cache(len(self.windows), config, capacity, ropes, attention, int8)

    def hidden(self, ids: Tensor, cache: Cache, step: Step) -> Tensor:
        """Last hidden states [T, C] of token ids int64 [T], which come behind those in `cache`."""
        x = F.embedding(ids, self._embedding)
        if self._scale is not None:
            x = x * self._scale
        for layer in self._layers:
            x = layer(x, cache, step)
        return self._norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits float32 [T, vocabulary] of hidden states [T, C]."""
        return self._head(hidden).float()

    def next_logits(self, ids: Tensor, cache: Cache, step: Step) -> Tensor:
        """Logits float32 [1, vocabulary] of what follows token ids int64 [T]."""
        return self.logits(self.hidden(ids, cache, step)[-1:])


def _ropes(configs: Sequence[RopeConfig], head_dim: int, capacity: int, yarn: Yarn | None) -> list[Rope]:
    """One Rope a layer; layers with the same positions share its tables. Raises ValueError as `stretched` does."""
    if yarn is not None and len(set(configs)) > 1:
        raise ValueError("rotary positions are not alike in all layers")
    shared = {config: Rope(config.stretched(yarn), head_dim, capacity) for config in set(configs)}
    return [shared[config] for config in configs]
