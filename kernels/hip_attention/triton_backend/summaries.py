"""Key summaries on the GPU: the tree of `summaries`, all levels in one tensor."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from hip_attention.cache.buffer import Buffer

LEAVES = 8  # leaves or parents a program computes


class TreeSummaries:
    """Mean and variance of the keys below every tree node; what `KeySummaries` holds, laid out for gathering.

    Nodes are stored in-order: node i of level l is row (i << (l + 1)) + (1 << l) - 1, whatever the number of leaves, so
    the tree grows at its end. `nodes.data` is [B, Hkv, rows, 2 * D], mean and variance side by side, in the keys'
    dtype: 4 / block_k of the keys' memory. Rows of incomplete nodes are meaningless. Memory is reserved for
    `capacity` keys.
    """

    def __init__(self, sink: int, block_k: int, capacity: int = 0) -> None:
        self.sink = sink
        self.block_k = block_k
        self.leaves = 0
        self.nodes = Buffer(2 * (max(0, capacity - sink) // block_k))

    @property
    def next_key(self) -> int:
        """Position of the first key that no leaf covers yet."""
        return self.sink + self.leaves * self.block_k

    @property
    def address(self) -> int:
        """Where the tree begins in memory."""
        return self.nodes.address

    def extend(self, keys: Tensor) -> None:
        """Add keys [B, Hkv, T, D] from position `next_key` on; an incomplete last block is left for the next call."""
        batch, heads, length, dim = keys.shape
        begin, new = self.leaves, length // self.block_k
        if new == 0:
            return
        stop = begin + new
        self.nodes.grow(2 * stop, torch.empty(batch, heads, 0, 2 * dim, dtype=keys.dtype, device=keys.device))
        tree = self.nodes.data
        shared = dict(SIZE=dim, WIDTH=triton.next_power_of_2(dim), TILE=LEAVES, num_warps=4)
        strides = (tree.stride(0), tree.stride(1))
        keys = keys if keys.stride(3) == 1 else keys.contiguous()
        with torch.cuda.device_of(keys):
            _leaves[(triton.cdiv(new, LEAVES), heads, batch)](
                keys, tree, begin, stop, *keys.stride()[:3], *strides, BLOCK_K=self.block_k, **shared
            )
            level = 1
            while stop >> level > begin >> level:
                first, last = begin >> level, stop >> level
                _parents[(triton.cdiv(last - first, LEAVES), heads, batch)](
                    tree, first, last, level, *strides, **shared
                )
                level += 1
        self.leaves = stop
        self.nodes.length = 2 * stop

    def truncate(self, length: int) -> None:
        """Forget every node that holds a key at or beyond position `length`."""
        self.leaves = min(self.leaves, max(0, length - self.sink) // self.block_k)
        self.nodes.truncate(2 * self.leaves)


@triton.jit
def tree_row(node, level):
    """Row of the in-order layout that node `node` of `level` occupies."""
    return (node << (level + 1)) + (1 << level) - 1


@triton.jit(do_not_specialize=["begin", "stop"])
def _leaves(
    key, tree, begin, stop, skb, skh, skt, stb, sth,
    BLOCK_K: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    leaf = tl.program_id(0) * TILE + tl.arange(0, TILE)
    dim = tl.arange(0, WIDTH)
    here = (leaf < stop - begin)[:, None] & (dim < SIZE)[None, :]
    key += tl.program_id(2).to(tl.int64) * skb + tl.program_id(1).to(tl.int64) * skh
    tree += tl.program_id(2).to(tl.int64) * stb + tl.program_id(1).to(tl.int64) * sth
    keys = key + (leaf.to(tl.int64) * BLOCK_K * skt)[:, None] + dim[None, :]
    mean = tl.zeros([TILE, WIDTH], tl.float32)
    for i in range(BLOCK_K):
        mean += tl.load(keys + i * skt, mask=here, other=0.0).to(tl.float32)
    mean /= BLOCK_K
    variance = tl.zeros([TILE, WIDTH], tl.float32)
    for i in range(BLOCK_K):
        distance = tl.load(keys + i * skt, mask=here, other=0.0).to(tl.float32) - mean
        variance += distance * distance
    rows = tree + (tree_row(begin + leaf, 0).to(tl.int64) * (2 * SIZE))[:, None] + dim[None, :]
    tl.store(rows, mean.to(tree.dtype.element_ty), mask=here)
    tl.store(rows + SIZE, (variance / BLOCK_K).to(tree.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize=["first", "last", "level"])
def _parents(
    tree, first, last, level, stb, sth, SIZE: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr
):  # fmt: skip
    node = first + tl.program_id(0) * TILE + tl.arange(0, TILE)
    dim = tl.arange(0, WIDTH)
    here = (node < last)[:, None] & (dim < SIZE)[None, :]
    tree += tl.program_id(2).to(tl.int64) * stb + tl.program_id(1).to(tl.int64) * sth
    left = tree + (tree_row(2 * node, level - 1).to(tl.int64) * (2 * SIZE))[:, None] + dim[None, :]
    right = tree + (tree_row(2 * node + 1, level - 1).to(tl.int64) * (2 * SIZE))[:, None] + dim[None, :]
    mean_left = tl.load(left, mask=here, other=0.0).to(tl.float32)
    mean_right = tl.load(right, mask=here, other=0.0).to(tl.float32)
    distance = (mean_left - mean_right) / 2
    variance = tl.load(left + SIZE, mask=here, other=0.0).to(tl.float32)
    variance = (variance + tl.load(right + SIZE, mask=here, other=0.0).to(tl.float32)) / 2 + distance * distance
    rows = tree + (tree_row(node, level).to(tl.int64) * (2 * SIZE))[:, None] + dim[None, :]
    tl.store(rows, ((mean_left + mean_right) / 2).to(tree.dtype.element_ty), mask=here)
    tl.store(rows + SIZE, variance.to(tree.dtype.element_ty), mask=here)
