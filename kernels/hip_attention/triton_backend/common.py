"""What several kernels use: the rows of query blocks, what they search, and constants of their scores."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from hip_attention.config import HipConfig


def precision(x: Tensor) -> str:
    """How a kernel multiplies matrices of the dtype of `x`; float32 is not rounded to TF32."""
    return "ieee" if x.dtype == torch.float32 else "tf32"


def block_constants(config: HipConfig) -> dict[str, int]:
    """Which keys a query block searches, as compile-time arguments."""
    return dict(BLOCK_Q=config.block_q, BLOCK_K=config.block_k, SINK=config.sink, WINDOW=config.window)


def score_constants(query: Tensor, config: HipConfig) -> dict[str, int | str]:
    """`block_constants` and how nodes or keys are scored, for query [..., D]."""
    dim = query.shape[-1]
    return dict(
        **block_constants(config), STRIDE=config.query_stride, SIZE=dim, WIDTH=triton.next_power_of_2(dim),
        PRECISION=precision(query),
    )  # fmt: skip


def scored_rows(config: HipConfig) -> int:
    """Number of rows, repeats included, by which a program scores nodes for a query block: 16 or more, for `tl.dot`."""
    rows: int = triton.next_power_of_2(triton.cdiv(config.block_q, config.query_stride))
    return max(16, rows)


@triton.jit
def row_range(block, begin, length_k, BLOCK_Q: tl.constexpr):
    """First and last position of the rows of query block `block` that exist."""
    return tl.maximum(block * BLOCK_Q, begin), tl.minimum((block + 1) * BLOCK_Q, length_k) - 1


@triton.jit
def scored_position(row, first, last, STRIDE: tl.constexpr):
    """Position of the row-th scored row of a query block, counted back from its last row.

    Past the earliest scored row, that row is repeated, which changes no maximum.
    """
    return last - tl.minimum(row, (last - first) // STRIDE) * STRIDE


@triton.jit
def searchable(last, SINK: tl.constexpr, WINDOW: tl.constexpr, BLOCK_K: tl.constexpr):
    """Number of key blocks between the sink and the window of the row at `last`."""
    return tl.maximum(0, tl.cdiv(tl.maximum(0, last - WINDOW + 1), BLOCK_K) - SINK // BLOCK_K)


@triton.jit
def spread_factor(log2_keys):
    """sqrt(2 ln n) for n = 2 ** log2_keys keys, but at least two."""
    return tl.sqrt(1.3862943611198906 * tl.maximum(log2_keys, 1.0))
