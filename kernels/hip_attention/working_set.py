"""The keys and values that decode attends to between two mask refreshes, side by side in memory."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hip_attention.buffer import Buffer


class WorkingSet:
    """Sink, selected and window keys of one decode position, and every key that arrived since.

    The window therefore still begins where it began at the refresh, and no recent key is lost. `blocks` int64
    [B, Hq, K] are the selected key blocks; `steps` counts the tokens decoded with this set.
    """

    def __init__(
        self, keys: Tensor, values: Tensor, blocks: Tensor | None, hidden: Tensor | None, reserve: int
    ) -> None:
        """keys and values [B, Hq, M, D]; hidden bool [B, Hq, M] marks keys nobody may see; room for `reserve`."""
        self.blocks = blocks
        self.steps = 0
        self._keys, self._values = Buffer(keys.shape[2] + reserve), Buffer(keys.shape[2] + reserve)
        self._keys.append(keys)
        self._values.append(values)
        self._mask = None
        if hidden is not None:
            self._mask = keys.new_zeros(*keys.shape[:2], 1, keys.shape[2] + reserve)
            self._mask[:, :, 0, : keys.shape[2]].masked_fill_(hidden, -math.inf)

    def append(self, key: Tensor, value: Tensor) -> None:
        """Add the newest token's key and value [B, Hkv, 1, D], which all heads of its group see."""
        group = self._keys.data.shape[1] // key.shape[1]
        self._keys.append(key.repeat_interleave(group, 1))
        self._values.append(value.repeat_interleave(group, 1))

    def attend(self, query: Tensor, scale: float) -> Tensor:
        """query [B, Hq, 1, D]; returns [B, Hq, 1, D]."""
        self.steps += 1
        mask = None if self._mask is None else self._mask[..., : self._keys.length]
        return F.scaled_dot_product_attention(
            query, self._keys.tokens, self._values.tokens, attn_mask=mask, scale=scale
        )


def selected_positions(blocks: Tensor, block_k: int) -> Tensor:
    """Positions int64 [B, H, K * block_k] of the keys in blocks [B, H, K]."""
    return (blocks[..., None] * block_k + torch.arange(block_k, device=blocks.device)).flatten(2)


def gather_heads(x: Tensor, positions: Tensor) -> Tensor:
    """Rows of x [B, Hkv, T, D] at positions [B, Hq, M], each query head from its own group: [B, Hq, M, D]."""
    batch, heads_k, length, dim = x.shape
    heads = positions.shape[1]
    owner = torch.arange(batch * heads, device=x.device).view(batch, heads, 1) * heads_k // heads * length
    return x.reshape(-1, dim).index_select(0, (owner + positions).flatten()).view(*positions.shape, dim)
