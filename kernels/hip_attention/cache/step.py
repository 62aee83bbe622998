"""What the layers of a model share while they decode one token."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Step:
    """The newest token, as kernels read it from the device: what they do for one they can do again for the next.

    length: int32 [1], number of cached tokens, the newest among them; position: int64 [1], that of the newest.
    refresh: whether its keys are selected anew.
    """

    length: Tensor
    position: Tensor
    refresh: bool = True

    @classmethod
    def of(cls, length: int, refresh: bool, device: torch.device) -> "Step":
        """The last of `length` tokens."""
        position = torch.full((1,), length - 1, dtype=torch.int64, device=device)
        return cls(torch.full((1,), length, dtype=torch.int32, device=device), position, refresh)

    def set(self, length: int, refresh: bool) -> None:
        """Let the newest token be the last of `length`. Nothing waits for the device."""
        self.length.fill_(length)
        self.position.fill_(length - 1)
        self.refresh = refresh
