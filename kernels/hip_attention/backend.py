"""Which backend runs on which device."""

import importlib.util
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from hip_attention.config import HipConfig
from hip_attention.plan import sparse_start
from hip_attention.torch_backend.summaries import KeySummaries

# Cost of a whole search, and of one row of sparse attention, as the number of keys that dense attention reads in the
# same time; measured on an H100 (docs/appendix/benchmarks.md).
SEARCH = 19_000_000
KEYS_PER_ROW = 3_800

TORCH_ONLY = ("exhaustive",)  # selectors that have no kernel


class Summaries(Protocol):
    """Interface of a backend's key summaries; see `torch_backend.summaries.KeySummaries`."""

    @property
    def next_key(self) -> int: ...

    @property
    def address(self) -> int: ...

    def extend(self, keys: Tensor) -> None: ...

    def truncate(self, length: int) -> None: ...


def has_triton() -> bool:
    """Whether the package triton is installed."""
    return importlib.util.find_spec("triton") is not None


def uses_triton(config: HipConfig, device: torch.device) -> bool:
    """Whether the Triton kernels attend on `device`; "auto" uses them on a GPU for every selector that they implement.

    Raises ValueError when the configuration asks for Triton where it cannot run.
    """
    if config.backend == "auto":
        usable = device.type == "cuda" and has_triton()
        return usable and config.selector not in TORCH_ONLY
    if config.backend != "triton":
        return False
    if config.selector in TORCH_ONLY:
        raise ValueError(f"backend triton has no selector {config.selector}")
    if not has_triton():
        raise ValueError("backend triton needs the package triton")
    from triton import knobs

    if device.type != "cuda" and not knobs.runtime.interpret:
        raise ValueError(f"backend triton needs a GPU, not {device.type}")
    return True


def has_kernels(config: HipConfig, device: torch.device) -> bool:
    """Whether Triton kernels that need no search (RoPE, dense decode) run on `device`, also for backend "dense"."""
    return uses_triton(replace(config, backend="auto") if config.backend == "dense" else config, device)


def make_summaries(config: HipConfig, device: torch.device, capacity: int = 0) -> Summaries:
    """An empty tree of key summaries for the backend on `device`, with memory reserved for `capacity` keys."""
    if uses_triton(config, device):
        from hip_attention.triton_backend.summaries import TreeSummaries

        return TreeSummaries(config.sink, config.block_k, capacity)
    return KeySummaries(config.sink, config.block_k, capacity)


def search_start(length_q: int, length_k: int, config: HipConfig, device: torch.device, coming: int = 0) -> int:
    """First row that attends sparsely: `plan.sparse_start`, or Tq where "auto" expects dense attention to be faster.

    That happens only on a GPU, where a search must save more key reads than it costs. Reads of `coming` rows of later
    calls count too: they should all be read sparsely (docs/appendix/quality.md, "Read alike").
    """
    start = sparse_start(length_q, length_k, config)
    if config.backend == "auto" and not config.select_always and start < length_q and uses_triton(config, device):
        rows, length = length_q - start + coming, length_k + coming
        keys = length - rows // 2 - min(length, KEYS_PER_ROW * config.visible_keys // 1600)
        if rows * keys < SEARCH:
            return length_q
    return start
