"""Rotary position embedding applied by attention itself, so that keys can be cached without a position."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Tables = Callable[[Tensor], tuple[Tensor, Tensor]]


class Rotary:
    """Rotates queries and keys whose first half of dimensions pairs with the second half (Llama's layout).

    `tables` maps positions int64 [1, T] to cosine and sine [1, T, D] in fp32, attention scaling included: a model's
    own rotary module, which keeps every RoPE variant exact. Results are bit-equal to transformers' own rotation.
    """

    def __init__(self, tables: Tables, capacity: int = 0) -> None:
        self._tables = tables
        self._capacity = capacity
        self._cosine = self._sine = torch.empty(0)

    def rotate(self, x: Tensor, start: int, out: Tensor | None = None) -> Tensor:
        """Rotate x [B, H, T, D], whose first token stands at position `start`, into `out` if given."""
        self._cover(start + x.shape[2], x)
        stop = start + x.shape[2]
        return _rotate(x, self._cosine[start:stop], self._sine[start:stop], out)

    def rotate_blocks(self, x: Tensor, blocks: Tensor, block_k: int, out: Tensor) -> Tensor:
        """Rotate x [B, H, K * block_k, D], the tokens of blocks int64 [B, H, K] of some cached text, into `out`."""
        self._cover((int(blocks.max()) + 1) * block_k, x)
        rows = self._cosine.shape[0] // block_k
        cosine, sine = (
            table[: rows * block_k].view(rows, -1).index_select(0, blocks.flatten()).view(*x.shape[:3], -1)
            for table in (self._cosine, self._sine)
        )
        return _rotate(x, cosine, sine, out)

    def cover(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine [>= length, D / 2] of every position, in the dtype and on the device of `like` [..., D]."""
        self._cover(length, like)
        return self._cosine, self._sine

    def _cover(self, length: int, like: Tensor) -> None:
        present = self._cosine
        if length <= present.shape[0] and present.dtype == like.dtype and present.device == like.device:
            return
        length = max(length + length // 8, self._capacity) + 256
        cosine, sine = self._tables(torch.arange(length, device=like.device)[None])
        half = like.shape[-1] // 2
        self._cosine, self._sine = (table[0, :, :half].to(like.dtype).contiguous() for table in (cosine, sine))


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor, out: Tensor | None) -> Tensor:
    out = torch.empty_like(x) if out is None else out
    first, second = x.chunk(2, -1)
    first_out, second_out = out.chunk(2, -1)
    torch.mul(first, cosine, out=first_out).sub_(second * sine)
    torch.mul(second, cosine, out=second_out).add_(first * sine)
    return out


class IdentityRotary(nn.Module):
    """Stands in for a model's rotary module and rotates nothing: cosine 1, sine 0.

    `rope_type` is what the original says of itself before its frequencies are frozen.
    """

    def __init__(self, original: nn.Module, dim: int, rope_type: object) -> None:
        super().__init__()
        self.original = original
        self.dim = dim
        self.rope_type = rope_type

    def forward(self, x: Tensor, position_ids: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        shape = (*position_ids.shape, self.dim)
        return x.new_ones(1).expand(shape), x.new_zeros(1).expand(shape)
