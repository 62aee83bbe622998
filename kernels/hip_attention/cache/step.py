"""What one forward pass of a model adds to its cache."""

from dataclasses import dataclass

import torch
from torch import Tensor


class CacheError(RuntimeError):
    """A cache does not hold the tokens that its caller counted: keys were dropped, or stored twice."""


@dataclass
class DeviceStep:
    """The position of one decoded token, as kernels read it from the device.

    A CUDA graph of the kernels that decode one token can so be replayed for the next.
    length: int32 [1], number of cached tokens, the newest among them; position: int64 [1], that of the newest.
    refresh: whether its keys are selected anew.
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
        """Let the newest token be the last of `length`. Nothing waits for the device."""
        self.length.fill_(length)
        self.position.fill_(length - 1)
        self.refresh = refresh


@dataclass(frozen=True)
class Step:
    """`count` tokens, at positions from `start` on: a cache holds `start` tokens before and `start + count` after.

    question: whether they are a question about what is cached (see `HipConfig.question`).
    device: set where one token is decoded whose length `Cache.advance` has counted already.
    """

    start: int
    count: int
    question: bool = False
    device: DeviceStep | None = None
