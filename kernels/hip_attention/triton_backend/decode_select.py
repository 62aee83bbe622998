"""The search of one decoded token with Triton: which key blocks it attends to."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from hip_attention.config import HipConfig
from hip_attention.triton_backend.common import searchable, spread_factor
from hip_attention.triton_backend.ranking import keep_best_of_rows
from hip_attention.triton_backend.summaries import tree_row

SCORED = 128  # nodes the search scores at a time


def descend(query: Tensor, tree: Tensor, length: Tensor, config: HipConfig, chosen: Tensor, scores: Tensor) -> None:
    """Select key blocks for query [B, Hq, 1, D], the last of `length` int32 [1] keys, into int32 [B, Hq, K].

    `scores` float32 [B, Hq, >= SCORED and twice the next power of two of K] is workspace.
    """
    batch, heads, _, dim = query.shape
    children = scores.shape[2]
    _descend[(heads, batch)](
        query, tree, chosen, scores, length, *query.stride()[:2], *tree.stride()[:2],
        GROUP=heads // tree.shape[1], BUDGET=config.selected_blocks, CHILDREN=children, SCORED=SCORED,
        BLOCK_K=config.block_k, SINK=config.sink, WINDOW=config.window, SIZE=dim, WIDTH=triton.next_power_of_2(dim),
        num_warps=8,
    )  # fmt: skip


def mark_shared(chosen: Tensor, shared: Tensor, group: int) -> None:
    """Copy int32 [B, Hq, K] selected blocks, with -1 for each that an earlier head of its GQA group selected too."""
    batch, heads, selected = chosen.shape
    if not selected:
        return
    with torch.cuda.device_of(chosen):
        _mark_shared[(heads, batch)](
            chosen, shared, GROUP=group, SELECTED=selected, SLOTS=triton.next_power_of_2(selected), num_warps=4
        )


@triton.jit
def _child(chosen, entry, level, count, BUDGET: tl.constexpr):
    """Nodes of the next level at `entry` in the list of children of the kept nodes, and which of them exist."""
    parent = tl.load(chosen + entry // 2, mask=entry // 2 < BUDGET, other=-1)
    child = 2 * parent + entry % 2
    return child, (parent >= 0) & ((child << level) < count)


@triton.jit
def _descend(
    query, tree, chosen, scores, length_k, sqb, sqh, stb, sth,
    GROUP: tl.constexpr, BUDGET: tl.constexpr, CHILDREN: tl.constexpr, SCORED: tl.constexpr,
    BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The whole search of one decoded token, one program a head; its number of keys is read from the device.

    Kept nodes are stored in `chosen` and the scores of their children in `scores`, because registers cannot hold them.
    """
    head, batch = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    pair = batch * tl.num_programs(0) + head
    dim = tl.arange(0, WIDTH)
    inside = dim < SIZE
    last = tl.load(length_k) - 1
    q = tl.load(query + batch * sqb + head * sqh + dim, mask=inside, other=0.0).to(tl.float32)
    tree += batch * stb + head // GROUP * sth
    chosen += pair * BUDGET
    scores += pair * CHILDREN
    count = searchable(last, SINK, WINDOW, BLOCK_K)
    level = 0
    while (BUDGET << level) < count:
        level += 1
    entry = tl.arange(0, CHILDREN)
    tl.store(chosen + entry, tl.where((entry << level) < count, entry, -1), mask=entry < BUDGET)
    while level > 0:
        level -= 1
        tl.debug_barrier()
        for start in range(0, CHILDREN, SCORED):
            some = start + tl.arange(0, SCORED)
            child, valid = _child(chosen, some, level, count, BUDGET)
            whole = valid & (((child + 1) << level) <= count)
            at = tree + (tree_row(child, level).to(tl.int64) * (2 * SIZE))[:, None] + dim[None, :]
            mean = tl.load(at, mask=whole[:, None] & inside[None, :], other=0.0).to(tl.float32)
            variance = tl.load(at + SIZE, mask=whole[:, None] & inside[None, :], other=0.0).to(tl.float32)
            score = tl.sum(mean * q[None, :], 1)
            score += spread_factor(tl.log2(BLOCK_K * 1.0) + level) * tl.sqrt(tl.sum(variance * (q * q)[None, :], 1))
            tl.store(scores + some, tl.where(whole, score, float("inf")))
        tl.debug_barrier()
        child, valid = _child(chosen, entry, level, count, BUDGET)
        score = tl.load(scores + entry)
        place = tl.reshape(keep_best_of_rows(score[None, :], valid[None, :], BUDGET, CHILDREN // 2), [CHILDREN])
        kept = tl.max(place, 0) + 1
        tl.debug_barrier()
        tl.store(chosen + place, child, mask=place >= 0)
        tl.store(chosen + entry, -1, mask=(entry >= kept) & (entry < BUDGET))
    tl.debug_barrier()
    node = tl.load(chosen + entry, mask=entry < BUDGET)
    tl.debug_barrier()
    # Where there are fewer than BUDGET, a block far beyond the keys, which no row sees, fills the rest.
    node = tl.where(node >= 0, node + SINK // BLOCK_K, (1 << 30) // BLOCK_K)
    tl.store(chosen + entry, node, mask=entry < BUDGET)


@triton.jit
def _mark_shared(chosen, shared, GROUP: tl.constexpr, SELECTED: tl.constexpr, SLOTS: tl.constexpr):
    """Copy what a head selected, with -1 for each block that an earlier head of its GQA group selected too.

    Lists are ascending, so a block is found in the earlier ones by binary search.
    """
    head, batch = tl.program_id(0), tl.program_id(1)
    own = (batch * tl.num_programs(0) + head) * SELECTED
    slot = tl.arange(0, SLOTS)
    block = tl.load(chosen + own + slot, mask=slot < SELECTED, other=-1)
    repeated = tl.zeros([SLOTS], tl.int32)
    for earlier in range(1, head % GROUP + 1):
        other = chosen + own - earlier * SELECTED
        place = tl.zeros([SLOTS], tl.int32)
        step = SLOTS // 2
        while step > 0:
            ahead = tl.load(other + place + step, mask=place + step < SELECTED, other=2147483647)
            place += tl.where(ahead <= block, step, 0)
            step //= 2
        repeated |= (tl.load(other + place) == block).to(tl.int32)
    tl.store(shared + own + slot, tl.where(repeated > 0, -1, block), mask=slot < SELECTED)
