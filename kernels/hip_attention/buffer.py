"""A tensor that grows along its token axis without copying at every step."""

import torch
from torch import Tensor


class Buffer:
    """Tokens stored in one contiguous [B, H, capacity, D] tensor, of which the first `length` are meaningful.

    Capacity is a multiple of `block`. Unused memory is zero, so that whole blocks can be read past `length` without
    meeting NaN. Growth is by an eighth, so appending costs amortised O(new tokens).
    """

    def __init__(self, capacity: int = 0, block: int = 1) -> None:
        self.length = 0
        self._reserve = capacity
        self._block = block
        self._data: Tensor | None = None

    @property
    def data(self) -> Tensor:
        """The whole storage [B, H, capacity, D]."""
        assert self._data is not None, "the buffer is empty"
        return self._data

    @property
    def tokens(self) -> Tensor:
        """View of the stored tokens [B, H, length, D]."""
        return self.data[:, :, : self.length]

    def append(self, new: Tensor) -> None:
        """Store `new` [B, H, T, D] behind what is there."""
        stop = self.length + new.shape[2]
        self.grow(stop, new)
        self.data[:, :, self.length : stop] = new
        self.length = stop

    def grow(self, capacity: int, like: Tensor) -> None:
        """Make room for `capacity` tokens shaped and typed as those of `like` [B, H, *, D]."""
        present = 0 if self._data is None else self._data.shape[2]
        if capacity <= present:
            return
        capacity = max(capacity, self._reserve, present + present // 8)
        capacity = -(-capacity // self._block) * self._block
        data = torch.zeros(*like.shape[:2], capacity, like.shape[3], dtype=like.dtype, device=like.device)
        if self._data is not None:
            data[:, :, : self.length] = self.tokens
        self._data = data

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        self.length = min(self.length, length)
