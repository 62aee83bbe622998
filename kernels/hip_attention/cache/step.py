"""What one forward pass of a model adds to its cache."""

from dataclasses import dataclass

import torch
from torch import Tensor


class CacheError(RuntimeError):
    """A cache does not hold the tokens that its caller counted: keys were dropped, or stored twice."""


@dataclass
class DeviceStep:
    """The position of one decoded token, which kernels read on the device.

    So a CUDA graph of the kernels that decode one token can be replayed for the next.
    length: int32 [1], number of cached tokens, including the newest; position: int64 [1], that of the newest.
    refresh: whether keys are selected again for it.
    """

    length: Tensor
    position: Tensor
    refresh: bool = True

    @classmethod
    def of(cls, length: int, refresh: bool, device: torch.device) -> "DeviceStep":
        """The last of `length` tokens."""
        position = torch.full((1,), length - 1, dtype=torch.int64, device=device)
        return cls(torch.full((1,), length, dtype=torch.int32, device=device), position, refresh)

    def set(self, length: int, refresh: bool) -> None:
        """Set the position to that of the last of `length` tokens, without waiting for the device."""
        self.length.fill_(length)
        self.position.fill_(length - 1)
        self.refresh = refresh


@dataclass(frozen=True)
class Step:
    """`count` tokens, at positions from `start` on: a cache holds `start` tokens before and `start + count` after.

    question: whether they are a question about what is cached (see `HipConfig.question`).
    device: set if this is one decoded token that `Cache.advance` has counted already.
    """

    start: int
    count: int
    question: bool = False
    device: DeviceStep | None = None
