"""The selectors of `reference` for many query blocks at a time: the search in the summary tree as Triton kernels.

The upper levels of the tree hold few nodes, which all query blocks share: `_score_nodes` scores them as one dense
product, and `_keep_dense` descends through these scores. From there on, level by level, `_score_children` gathers and
scores the children of the nodes that a query block and head kept, and `_keep_children` keeps the best `BUDGET` of
twice as many, until they are leaves, which `leaves.py` can score by their keys. The representative selectors are in
`representative.py`.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from hip_attention.config import HipConfig
from hip_attention.triton_backend import leaves, representative
from hip_attention.triton_backend.common import (
    block_constants,
    row_range,
    score_constants,
    scored_position,
    scored_rows,
    searchable,
    spread_factor,
)
from hip_attention.triton_backend.ranking import keep_best_of_rows
from hip_attention.triton_backend.summaries import TreeSummaries, tree_row

FILLER = 1 << 30  # position of the keys that fill a selection: beyond all others
DENSE_LEVEL = 8  # levels of at most this many times the kept nodes are scored for all query blocks
DENSE_PAIRS = 1 << 12  # query blocks times heads whose dense scores are in memory at a time
SCORED_ROWS = 128  # query rows, and nodes, that a program of the dense product holds where rows take 256 bytes


def select(
    query: Tensor,
    begin: int,
    blocks: int,
    length_k: int,
    config: HipConfig,
    summaries: TreeSummaries | None,
    key: Tensor | None,
    dense_nodes: int | None = None,
) -> Tensor:
    """Choose key blocks for the `blocks` query blocks from position `begin` on.

    query [B, Hq, Tq, D] stands at the end of `length_k` keys. `summaries` serve the selectors that use them, `key`
    [B, Hkv, >= Tk, D] those that read keys. Levels of at most `dense_nodes` nodes are scored for all query blocks at
    once. Returns int32 [B, Hq, blocks, selected_blocks], ascending. Where there are fewer to search, blocks far beyond
    the keys, which no row sees, fill the rest.
    """
    batch, heads, length_q, dim = query.shape
    budget = config.selected_blocks
    shape = batch, heads, blocks, budget
    chosen = torch.full(shape, FILLER // config.block_k, dtype=torch.int32, device=query.device)
    if not config.uses_summaries:
        assert key is not None
        representative.search(query, key, begin, blocks, length_k, config, chosen)
        return chosen
    assert summaries is not None
    rows = scored_rows(config)
    slots = triton.next_power_of_2(config.kept_nodes)
    constants = score_constants(query, config)
    where = (begin // config.block_q, begin, length_k, length_k - length_q, blocks)
    tree = summaries.nodes.data
    group = heads // tree.shape[1]
    strides = (*query.stride()[:3], *tree.stride()[:2])
    dense_nodes = min(2048, DENSE_LEVEL * slots) if dense_nodes is None else dense_nodes
    base = max(int(config.exact_leaves), (summaries.leaves - 1).bit_length() - dense_nodes.bit_length() + 1)
    width = 2 * triton.cdiv(summaries.leaves + 1, 1 << base)
    some = min(blocks, max(1, DENSE_PAIRS // (batch * heads)))
    entries = batch * heads * max(some * width, blocks * 2 * slots)
    scores = torch.empty(entries, dtype=torch.float32, device=query.device)
    nodes = torch.empty(batch, heads, blocks, slots, dtype=torch.int32, device=query.device)
    row_bytes = triton.next_power_of_2(dim) * query.element_size()
    room = max(16, SCORED_ROWS * 256 // max(256, row_bytes))
    padded = min(triton.next_power_of_2(group), max(1, room // rows))
    parts = triton.cdiv(group, padded)
    together = max(1, room // (padded * rows))
    pairs = batch * heads * blocks
    search = dict(SLOTS=slots, **block_constants(config))
    few, more = max(1, 256 // slots), max(1, 512 // slots)
    for skipped in range(0, blocks, some):
        part = min(some, blocks - skipped)
        part_where = (begin // config.block_q + skipped, *where[1:4], part)
        _score_nodes[(triton.cdiv(part, together), heads // group * parts, batch)](
            query, tree, scores, *part_where, base, width, *strides,
            GROUP=group, PARTS=parts, PADDED=padded, TOGETHER=together, ROWS=rows,
            NODES=max(16, room * room // max(room, rows)), num_warps=8, num_stages=2, **constants,
        )  # fmt: skip
        _keep_dense[(triton.cdiv(batch * heads * part, more),)](
            scores, nodes, chosen, batch * heads * part, *part_where, base, width, skipped, blocks,
            BUDGET=config.kept_nodes, PAIRS=more, num_warps=4, **search,
        )  # fmt: skip
    for level in reversed(range(base)):
        if level == 0 and config.exact_leaves:
            assert key is not None
            leaves.score_leaves(query, key, nodes, scores, where, config, room)
        else:
            _score_children[(blocks, heads, batch)](
                query, tree, nodes, scores, *where, level, *strides,
                GROUP=group, SLOTS=slots, ROWS=rows, NODES=min(room, 2 * slots),
                num_warps=8 if rows > 16 else 4, num_stages=1, **constants,
            )  # fmt: skip
        _keep_children[(triton.cdiv(pairs, few),)](
            scores, nodes, chosen, pairs, *where, level, BUDGET=config.kept_nodes if level else budget,
            PAIRS=few, num_warps=1, **search,
        )  # fmt: skip
    return chosen


@triton.jit(do_not_specialize=["first_block", "begin", "length_k", "offset", "blocks", "base", "width"])
def _score_nodes(
    query, tree, scores, first_block, begin, length_k, offset, blocks, base, width,
    sqb, sqh, sqt, stb, sth,
    GROUP: tl.constexpr, PARTS: tl.constexpr, PADDED: tl.constexpr, TOGETHER: tl.constexpr, ROWS: tl.constexpr,
    NODES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr, STRIDE: tl.constexpr,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Score the nodes of level `base` and above for TOGETHER query blocks and PADDED heads of a GQA group.

    scores [B, Hq, blocks, width]: entry c is the tree row ((c + 1) << base) - 1, an in-order tree again.
    """
    tile = tl.num_programs(0) - 1 - tl.program_id(0)
    head_k, batch = (tl.program_id(1) // PARTS).to(tl.int64), tl.program_id(2).to(tl.int64)
    heads = tl.num_programs(1) // PARTS * GROUP
    member = tl.program_id(1) % PARTS * PADDED
    row = tl.arange(0, TOGETHER * PADDED * ROWS)
    head = head_k * GROUP + tl.minimum(member + row // ROWS % PADDED, GROUP - 1)
    block = tl.minimum(tile * TOGETHER + row // (ROWS * PADDED), blocks - 1) + first_block
    first, last = row_range(block, begin, length_k, BLOCK_Q)
    position = scored_position(row % ROWS, first, last, STRIDE)
    dim = tl.arange(0, WIDTH)
    inside = (dim < SIZE)[None, :]
    rows = query + batch * sqb + (head * sqh + (position - offset).to(tl.int64) * sqt)[:, None] + dim[None, :]
    q = tl.trans(tl.load(rows, mask=inside, other=0.0))
    squared = q * q

    pair = tl.arange(0, TOGETHER * PADDED)
    pair_block = tile * TOGETHER + pair // PADDED
    stored = (member + pair % PADDED < GROUP) & (pair_block < blocks)
    pair_row = (batch * heads + head_k * GROUP + member + pair % PADDED) * blocks + pair_block
    tree += batch * stb + head_k * sth
    _, newest = row_range(first_block + tl.minimum((tile + 1) * TOGETHER, blocks) - 1, begin, length_k, BLOCK_Q)
    count = searchable(newest, SINK, WINDOW, BLOCK_K)
    entries = tl.minimum(width, 2 * tl.cdiv(count, 1 << base))
    for start in range(0, entries, NODES):
        entry = start + tl.arange(0, NODES)
        present = ((((entry + 1) << base) - 1) >> 1) < count
        node = tree + ((((entry + 1) << base) - 1).to(tl.int64) * (2 * SIZE))[:, None] + dim[None, :]
        mean = tl.load(node, mask=present[:, None] & inside, other=0.0)
        variance = tl.load(node + SIZE, mask=present[:, None] & inside, other=0.0)
        size = ((entry + 1) & -(entry + 1)).to(tl.float32) * (BLOCK_K << base)
        score = tl.dot(mean, q, input_precision=PRECISION)
        score += spread_factor(tl.log2(size))[:, None] * tl.sqrt(tl.dot(variance, squared, input_precision=PRECISION))
        best = tl.max(tl.reshape(score, [NODES, TOGETHER * PADDED, ROWS]), 2)
        tl.store(
            scores + pair_row.to(tl.int64)[None, :] * width + entry[:, None],
            best,
            mask=stored[None, :] & (entry < entries)[:, None],
        )


@triton.jit
def _count(pair, blocks, first_block, begin, length_k, BLOCK_Q, BLOCK_K, SINK, WINDOW):
    """Number of leaves that query block `pair % blocks` searches."""
    _, last = row_range(first_block + pair % blocks, begin, length_k, BLOCK_Q)
    return searchable(last, SINK, WINDOW, BLOCK_K)


@triton.jit
def _children(node, level, count, PAIRS: tl.constexpr, SLOTS: tl.constexpr):
    """Children of nodes [PAIRS, SLOTS], which of them exist and which of those have all their leaves in range."""
    child = tl.reshape(tl.join(2 * node, 2 * node + 1), [PAIRS, 2 * SLOTS])
    valid = (child >= 0) & ((child << level) < count)
    return child, valid, valid & (((child + 1) << level) <= count)


@triton.jit(
    do_not_specialize=[
        *("pairs", "first_block", "begin", "length_k", "offset", "blocks", "base", "width", "skipped", "all_blocks")
    ]
)
def _keep_dense(
    scores, nodes, chosen, pairs, first_block, begin, length_k, offset, blocks, base, width, skipped, all_blocks,
    BUDGET: tl.constexpr, SLOTS: tl.constexpr, PAIRS: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr,
):  # fmt: skip
    """Descend from the top to level `base` through the scores of `_score_nodes`, PAIRS pairs at a time.

    `nodes` and `chosen` have room for `all_blocks` query blocks, the first `skipped` of which are not among these.
    """
    pair = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    here = (pair < pairs)[:, None]
    count = _count(pair, blocks, first_block, begin, length_k, BLOCK_Q, BLOCK_K, SINK, WINDOW)
    most = tl.max(count, 0)
    count = count[:, None]
    slot = tl.arange(0, SLOTS)[None, :]
    score_row = scores + pair[:, None].to(tl.int64) * width
    pair = (pair // blocks * all_blocks + skipped + pair % blocks)[:, None].to(tl.int64)
    level = base
    while (BUDGET << level) < most:
        level += 1
    node = tl.where((slot < BUDGET) & ((slot << level) < count), slot, -1)
    tl.store(nodes + pair * SLOTS + slot, node, mask=here)
    while level > base:
        level -= 1
        child, valid, whole = _children(node, level, count, PAIRS, SLOTS)
        at = score_row + tree_row(child, level - base)
        score = tl.where(whole, tl.load(at, mask=whole & here, other=0.0), float("inf"))
        place = keep_best_of_rows(score, valid, BUDGET, SLOTS)
        tl.debug_barrier()
        tl.store(nodes + pair * SLOTS + slot, tl.full([PAIRS, SLOTS], -1, tl.int32), mask=here)
        tl.debug_barrier()
        tl.store(nodes + pair * SLOTS + place, child, mask=(place >= 0) & here)
        tl.debug_barrier()
        node = tl.load(nodes + pair * SLOTS + slot, mask=here, other=-1)
    if base == 0:
        tl.store(chosen + pair * BUDGET + slot, node + SINK // BLOCK_K, mask=here & (slot < BUDGET) & (node >= 0))


@triton.jit(do_not_specialize=["pairs", "first_block", "begin", "length_k", "offset", "blocks", "level"])
def _keep_children(
    scores, nodes, chosen, pairs, first_block, begin, length_k, offset, blocks, level,
    BUDGET: tl.constexpr, SLOTS: tl.constexpr, PAIRS: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr,
):  # fmt: skip
    """Keep the best of the children that `_score_children` scored, in `nodes` or, if they are leaves, in `chosen`."""
    pair = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    here = (pair < pairs)[:, None]
    count = _count(pair, blocks, first_block, begin, length_k, BLOCK_Q, BLOCK_K, SINK, WINDOW)[:, None]
    pair = pair[:, None].to(tl.int64)
    slot = tl.arange(0, SLOTS)[None, :]
    node = tl.load(nodes + pair * SLOTS + slot, mask=here, other=-1)
    child, valid, _ = _children(node, level, count, PAIRS, SLOTS)
    score = tl.load(scores + pair * (2 * SLOTS) + tl.arange(0, 2 * SLOTS)[None, :], mask=here, other=0.0)
    place = keep_best_of_rows(score, valid, BUDGET, SLOTS)
    if level == 0:
        tl.store(chosen + pair * BUDGET + place, child + SINK // BLOCK_K, mask=(place >= 0) & here)
    else:
        tl.debug_barrier()
        kept = tl.sum((place >= 0).to(tl.int32), 1)[:, None]
        tl.store(nodes + pair * SLOTS + place, child, mask=(place >= 0) & here)
        tl.store(nodes + pair * SLOTS + slot, tl.full([PAIRS, SLOTS], -1, tl.int32), mask=here & (slot >= kept))


@triton.jit(do_not_specialize=["first_block", "begin", "length_k", "offset", "blocks", "level"])
def _score_children(
    query, tree, nodes, scores, first_block, begin, length_k, offset, blocks, level,
    sqb, sqh, sqt, stb, sth,
    GROUP: tl.constexpr, SLOTS: tl.constexpr, ROWS: tl.constexpr, NODES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr, STRIDE: tl.constexpr,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Score the children of the nodes a query block and head kept: scores [B, Hq, blocks, 2 * SLOTS]."""
    index, head, batch = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    dim = tl.arange(0, WIDTH)
    first, last = row_range(first_block + index, begin, length_k, BLOCK_Q)
    position = scored_position(tl.arange(0, ROWS), first, last, STRIDE)
    rows = query + batch * sqb + head * sqh + ((position - offset).to(tl.int64) * sqt)[:, None] + dim[None, :]
    q = tl.trans(tl.load(rows, mask=(dim < SIZE)[None, :], other=0.0))
    squared = q * q
    pair = (batch * tl.num_programs(1) + head) * blocks + index
    nodes += pair * SLOTS
    scores += pair * (2 * SLOTS)
    tree += batch * stb + head // GROUP * sth
    count = searchable(last, SINK, WINDOW, BLOCK_K)
    spread = spread_factor(tl.log2(BLOCK_K * 1.0) + level)
    for start in range(0, 2 * SLOTS, NODES):
        slot = start + tl.arange(0, NODES)
        child = 2 * tl.load(nodes + slot // 2) + slot % 2
        present = tl.minimum(tl.maximum(child, 0), tl.maximum(count >> level, 1) - 1)
        at = tree + (tree_row(present, level).to(tl.int64) * (2 * SIZE))[:, None] + dim[None, :]
        if SIZE == WIDTH:
            mean = tl.load(at)
            variance = tl.load(at + SIZE)
        else:
            mean = tl.load(at, mask=(dim < SIZE)[None, :], other=0.0)
            variance = tl.load(at + SIZE, mask=(dim < SIZE)[None, :], other=0.0)
        bound = tl.sqrt(tl.dot(variance, squared, input_precision=PRECISION)) * spread
        score = tl.max(tl.dot(mean, q, input_precision=PRECISION) + bound, 1)
        tl.store(scores + slot, tl.where(((child + 1) << level) <= count, score, float("inf")))
