"""Which implementation runs where."""

import importlib.util
import os
from typing import Protocol

import torch
from torch import Tensor

from hip_attention.config import HipConfig
from hip_attention.summaries import KeySummaries


class Summaries(Protocol):
    """What the caller of a backend needs to know of its key summaries: see `summaries.KeySummaries`."""

    @property
    def next_key(self) -> int: ...

    def extend(self, keys: Tensor) -> None: ...

    def truncate(self, length: int) -> None: ...


def uses_triton(config: HipConfig, device: torch.device) -> bool:
    """Whether tensors on `device` are attended by the Triton kernels; "auto" picks them on a GPU.

    Raises ValueError when the configuration asks for Triton where it cannot run.
    """
    if config.backend == "auto":
        return device.type == "cuda" and importlib.util.find_spec("triton") is not None
    if config.backend != "triton":
        return False
    if importlib.util.find_spec("triton") is None:
        raise ValueError("backend triton needs the package triton")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(f"backend triton needs a GPU, not {device.type}")
    return True


def make_summaries(config: HipConfig, device: torch.device) -> Summaries:
    """An empty tree of key summaries for the backend that runs on `device`."""
    if uses_triton(config, device):
        from hip_attention.triton_summaries import TreeSummaries

        return TreeSummaries(config.sink, config.block_k)
    return KeySummaries(config.sink, config.block_k)
