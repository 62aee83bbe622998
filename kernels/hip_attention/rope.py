"""Rotary position embedding (RoPE, arXiv 2104.09864) applied to queries and keys."""

import torch
from torch import Tensor

from hip_attention.rope_config import RopeConfig


class Rope:
    """Applies RoPE to queries and keys [B, H, T, D] whose first half of dimensions pairs with the second half.

    Cosines and sines are computed in float32 and kept in the dtype and on the device of the tensor that they apply
    to. The first tables cover `capacity` positions.
    """

    def __init__(self, config: RopeConfig, head_dim: int, capacity: int = 0) -> None:
        self._frequencies, self._scale = config.frequencies(head_dim)
        self._capacity = capacity
        self._cosine = self._sine = torch.empty(0)
        self._halves: tuple[Tensor, Tensor] | None = None

    def apply(self, x: Tensor, start: int, out: Tensor | None = None) -> Tensor:
        """Rotate x, whose first token stands at position `start`, into `out` if given."""
        stop = start + x.shape[2]
        self._cover(stop, x)
        return rotate(x, self._cosine[start:stop], self._sine[start:stop], out)

    def apply_to_blocks(self, x: Tensor, blocks: Tensor, block_k: int, out: Tensor) -> Tensor:
        """Rotate x [B, H, K * block_k, D], the tokens of the key blocks int64 [B, H, K], into `out`."""
        self._cover((int(blocks.max()) + 1) * block_k, x)
        rows = self._cosine.shape[0] // block_k
        cosine, sine = (
            table[: rows * block_k].view(rows, -1).index_select(0, blocks.flatten()).view(x.shape)
            for table in (self._cosine, self._sine)
        )
        return rotate(x, cosine, sine, out)

    def apply_at(self, x: Tensor, positions: Tensor | int, length: int) -> Tensor:
        """Rotate x, whose tokens stand at `positions` int64 [T], or all at one position; all are below `length`."""
        self._cover(length, x)
        return rotate(x, self._cosine[positions], self._sine[positions])

    def apply_in_place(self, x: Tensor, positions: Tensor) -> None:
        """Rotate x in place to ascending `positions` int64 [T]: faster than `apply`, rounded differently."""
        self._cover(int(positions[-1]) + 1, x)
        swapped = _swapped(x)
        x.mul_(self._cosine[positions]).addcmul_(swapped, self._sine[positions])

    def tables(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
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
        angles = torch.arange(length, device=like.device)[:, None].float() * self._frequencies.to(like.device)
        angles = torch.cat((angles, angles), 1)
        self._cosine, self._sine = ((x * self._scale).to(like.dtype) for x in (angles.cos(), angles.sin()))
        self._halves = None


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, out: Tensor | None = None) -> Tensor:
    """x [B, H, T, D] rotated by cosine and sine of its dtype, broadcast to its shape, into `out` if given."""
    swapped = _swapped(x).mul_(sine)  # before `out`, which may be x itself, is written
    return torch.mul(x, cosine, out=out).add_(swapped)


def _swapped(x: Tensor) -> Tensor:
    """(-second half, first half) of x [..., D]."""
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)
