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
    def capacity(self) -> int:
        """Tokens there is memory for."""
        return self.data.shape[2]

    @property
    def raw(self) -> Tensor:
        """The whole storage [B, H, capacity, D], as a kernel reads it."""
        return self.data

    @property
    def tokens(self) -> Tensor:
        """View of the stored tokens [B, H, length, D]."""
        return self.data[:, :, : self.length]

    @property
    def address(self) -> int:
        """Where the storage begins in memory; 0 before there is any."""
        return 0 if self._data is None else self._data.data_ptr()

    @property
    def like(self) -> Tensor:
        """An empty tensor [B, H, 0, D] with the dtype and device of the stored tokens."""
        return self.data[:, :, :0]

    def append(self, new: Tensor) -> None:
        """Append `new` [B, H, T, D]."""
        self.extend(new.shape[2], new)[:] = new

    def extend(self, count: int, like: Tensor) -> Tensor:
        """Append `count` tokens and return a view of them [B, H, count, D], to be written; `like` as for `grow`."""
        stop = self.length + count
        self.grow(stop, like)
        start, self.length = self.length, stop
        return self.part(start, stop)

    def advance(self) -> None:
        """Count one more token, which `put` then writes."""
        if self.length == self.capacity:
            self.grow(self.length + 1, self.like)
        self.length += 1

    def put(self, new: Tensor, position: Tensor) -> None:
        """Write `new` [B, H, 1, D] to the stored token at `position` int64 [1], which the host does not read."""
        self.data.index_copy_(2, position, new)

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

    def part(self, start: int, stop: int) -> Tensor:
        """View of tokens [start, stop), [B, H, stop - start, D]."""
        return self.data[:, :, start:stop]

    def whole(self, length: int, scratch: "Buffer") -> Tensor:
        """At least the first `length` tokens, [B, H, >= length, D]; `scratch` is not used."""
        return self.data

    def gather(self, blocks: Tensor, block_k: int) -> Tensor:
        """Tokens of the key blocks int64 [B, S, K]: [B, S, K * block_k, D]. Set s is of head s * H // S."""
        return gather_blocks(self.data, blocks, block_k)

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        self.length = min(self.length, length)

    def export(self, start: int, stop: int) -> dict[str, Tensor]:
        """View of tokens [start, stop) as they are stored."""
        return {"": self.part(start, stop)}

    def restore(self, tokens: dict[str, Tensor]) -> None:
        """Append tokens as `export` returned them."""
        self.append(tokens[""])


def gather_blocks(data: Tensor, blocks: Tensor, block_k: int) -> Tensor:
    """`Buffer.gather` from data [B, H, capacity, D]."""
    batch, heads, capacity, dim = data.shape
    sets = torch.arange(batch * blocks.shape[1], device=data.device).view(batch, -1, 1)
    rows = blocks + sets * heads // blocks.shape[1] * (capacity // block_k)
    return data.view(-1, block_k * dim).index_select(0, rows.flatten()).view(*blocks.shape[:2], -1, dim)
