"""The methods that are compared: this library with several settings, and dense attention of other libraries."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace

import torch.nn.functional as F
from hip_attention.config import HipConfig, Selector
from hip_attention.plan import sparse_start
from hip_attention.triton_backend.prefill import PAIRS
from hip_attention.triton_backend.select import select
from hip_attention.triton_backend.summaries import TreeSummaries
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
SELECTORS: tuple[Selector, ...] = ("summary", "summary-exact")

Dense = Callable[[Tensor, Tensor, Tensor], object]


def configs(top_k: tuple[int, ...], base: HipConfig) -> dict[str, HipConfig]:
    """The settings of this library that are measured at every length, by name."""
    return {
        f"{selector} k={count} block_q={block_q} query_stride={stride}": replace(
            base, top_k=count, selector=selector, block_q=block_q, query_stride=stride
        )
        for count in top_k
        for selector in SELECTORS
        for block_q, stride in ((64, 4), (128, 8), (128, 4))
    }


def published(top_k: tuple[int, ...], base: HipConfig) -> dict[str, HipConfig]:
    """The selection rule of the HiP paper, "representative", by name.

    It keeps the key blocks of `base`: with smaller ones its kernel needs more shared memory than a GPU has.
    """
    return {
        f"representative k={count}": replace(base, top_k=count, selector="representative", block_q=64, query_stride=4)
        for count in top_k
    }


def dense_methods() -> dict[str, Dense]:
    """Functions for causal attention over all keys, by name: those of PyTorch, and FlashAttention-3 if installed."""

    def through(backend: SDPBackend) -> Dense:
        def run(query: Tensor, key: Tensor, value: Tensor) -> object:
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)

        return run

    ways = {name: through(backend) for name, backend in BACKENDS.items()}
    if importlib.util.find_spec("fa3_fwd_interface") is not None:
        interface = importlib.import_module("fa3_fwd_interface")
        ways["flash 3"] = lambda *tensors: interface.flash_attn_func(*(x.transpose(1, 2) for x in tensors), causal=True)
    return ways


def select_all(query: Tensor, key: Tensor, config: HipConfig) -> None:
    """Summarise the keys and select key blocks for every query block of a prompt, with the Triton kernels."""
    length, block_q = key.shape[2], config.block_q
    summaries = TreeSummaries(config.sink, config.block_k)
    if config.uses_summaries:
        summaries.extend(key[:, :, config.sink :])
    start, stop = sparse_start(length, length, config) // block_q, -(-length // block_q)
    together = PAIRS // query.shape[1]
    for block in range(start, stop, together):
        select(query, block * block_q, min(together, stop - block), length, config, summaries, key)


def attended_keys(length: int, config: HipConfig) -> int:
    """The number of keys attended to, summed over all `length` queries of one head."""
    dense = sparse_start(length, length, config)
    most = config.sink + config.top_k + config.window
    rising = max(dense, min(length, most))
    return rising * (rising + 1) // 2 + (length - rising) * most
