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
        self._halves: tuple[Tensor, Tensor] | None = None

    def rotate(self, x: Tensor, start: int, out: Tensor | None = None) -> Tensor:
        """Rotate x [B, H, T, D], whose first token stands at position `start`, into `out` if given."""
        self._cover(start + x.shape[2], x)
        stop = start + x.shape[2]
        return rotated(x, self._cosine[start:stop], self._sine[start:stop], out)

    def rotate_blocks(self, x: Tensor, blocks: Tensor, block_k: int, out: Tensor) -> Tensor:
        """Rotate x [B, H, K * block_k, D], the tokens of blocks int64 [B, H, K] of some cached text, into `out`."""
        self._cover((int(blocks.max()) + 1) * block_k, x)
        rows = self._cosine.shape[0] // block_k
        cosine, sine = (
            table[: rows * block_k].view(rows, -1).index_select(0, blocks.flatten()).view(x.shape)
            for table in (self._cosine, self._sine)
        )
        return rotated(x, cosine, sine, out)

    def rotate_to(self, x: Tensor, position: int) -> Tensor:
        """Rotate all of x [B, H, T, D] to one position."""
        self._cover(position + 1, x)
        return rotated(x, self._cosine[position], self._sine[position])

    def rotate_at(self, x: Tensor, positions: Tensor, length: int) -> Tensor:
        """Rotate x [B, H, T, D], whose tokens stand at `positions` int64 [T], all below `length`."""
        self._cover(length, x)
        return rotated(x, self._cosine[positions], self._sine[positions])

    def rotate_columns(self, x: Tensor, places: Tensor) -> None:
        """Rotate x [B, H, T, D] in place to ascending int64 [T]: in less time than `rotate`, rounded differently."""
        self._cover(int(places[-1]) + 1, x)
        turned = _turned(x)
        x.mul_(self._cosine[places]).addcmul_(turned, self._sine[places])

    def cover(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine [>= length, D / 2] of every position, in the dtype and on the device of `like` [..., D]."""
        self._cover(length, like)
        if self._halves is None:
            half = like.shape[-1] // 2
            self._halves = self._cosine[:, :half].contiguous(), self._sine[:, :half].contiguous()
        return self._halves

    def _cover(self, length: int, like: Tensor) -> None:
        present = self._cosine
        if length <= present.shape[0] and present.dtype == like.dtype and present.device == like.device:
            return
        length = max(length + length // 8, self._capacity) + 256
        cosine, sine = self._tables(torch.arange(length, device=like.device)[None])
        self._cosine, self._sine = (table[0].to(like.dtype).contiguous() for table in (cosine, sine))
        self._halves = None


def rotated(x: Tensor, cosine: Tensor, sine: Tensor, out: Tensor | None = None) -> Tensor:
    """x [B, H, T, D] rotated by cosine and sine of its dtype, broadcast to its shape, into `out` if given."""
    turned = _turned(x).mul_(sine)  # before `out`, which may be x itself, is written
    return torch.mul(x, cosine, out=out).add_(turned)


def _turned(x: Tensor) -> Tensor:
    """(-second half, first half) of x [..., D]."""
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


class IdentityRotary(nn.Module):
    """Stands in for a model's rotary module and rotates nothing: cosine 1, sine 0, which `is_identity` tells."""

    def __init__(self, original: nn.Module, dim: int) -> None:
        super().__init__()
        self.original = original
        self.dim = dim

    def forward(self, x: Tensor, position_ids: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        shape = (*position_ids.shape, self.dim)
        cosine = x.new_ones(1).expand(shape)
        cosine.hip_identity = True  # type: ignore[attr-defined]
        return cosine, x.new_zeros(1).expand(shape)


def is_identity(cosine: Tensor) -> bool:
    """Whether a cosine comes from an IdentityRotary: what it rotates stays as it is."""
    return getattr(cosine, "hip_identity", False)
