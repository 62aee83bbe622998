"""The selectors of `reference` as Triton kernels.

The upper levels of the tree hold few nodes, which all query blocks share: `_score_nodes` scores them as one dense
product. `_descend` then walks down, one program a query block and head: it looks upper scores up, gathers the nodes
below, and keeps the best `BUDGET` of twice as many children until they are leaves.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from hip_attention.config import HipConfig
from hip_attention.triton_summaries import TreeSummaries, tree_row

DENSE_LEVEL = 8  # levels of at most so many times the budget of nodes are scored for everybody
DENSE_PAIRS = 1 << 12  # query blocks times heads whose dense scores are in memory at a time
SCORED_ROWS = 128  # query rows, and nodes, that a program of the dense product holds where rows take 256 bytes
RANKED_SLOTS = 64  # larger budgets are found by sorting, smaller ones by counting what is better


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

    query [B, Hq, Tq, D] stands at the end of `length_k` keys, and each of its query blocks has more to search than it
    may select. `summaries` serve the selector "summary", `key` [B, Hkv, >= Tk, D] the representative ones. Levels of
    at most `dense_nodes` nodes are scored for all query blocks at once. Returns int32 [B, Hq, blocks, selected_blocks],
    ascending.
    """
    batch, heads, length_q, dim = query.shape
    budget = config.selected_blocks
    chosen = torch.empty(batch, heads, blocks, budget, dtype=torch.int32, device=query.device)
    rows = max(16, triton.next_power_of_2(triton.cdiv(config.block_q, config.query_stride)))
    slots = triton.next_power_of_2(budget)
    limits = dict(BLOCK_Q=config.block_q, BLOCK_K=config.block_k, SINK=config.sink, WINDOW=config.window)
    geometry = dict(
        **limits, STRIDE=config.query_stride, SIZE=dim, WIDTH=triton.next_power_of_2(dim), PRECISION=precision(query),
    )  # fmt: skip
    where = (begin // config.block_q, begin, length_k, length_k - length_q, blocks)
    if config.selector != "summary":
        assert key is not None
        _halve[(blocks, heads, batch)](
            query, key, chosen, *where, *query.stride()[:3], *key.stride()[:3],
            GROUP=heads // key.shape[1], BUDGET=budget, SLOTS=slots, ROWS=rows, SORTED=slots > RANKED_SLOTS,
            CENTER=config.selector == "representative", ON_DEVICE=False, num_warps=4, **geometry,
        )  # fmt: skip
        return chosen
    assert summaries is not None
    tree = summaries.nodes.data
    group = heads // tree.shape[1]
    strides = (*query.stride()[:3], *tree.stride()[:2])
    dense_nodes = min(2048, DENSE_LEVEL * slots) if dense_nodes is None else dense_nodes
    base = max(0, (summaries.leaves - 1).bit_length() - dense_nodes.bit_length() + 1)
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
    search = dict(BUDGET=budget, SLOTS=slots, **limits)
    few, more = max(1, 256 // slots), max(1, 512 // slots)
    for skipped in range(0, blocks, some):
        part = min(some, blocks - skipped)
        part_where = (begin // config.block_q + skipped, *where[1:4], part)
        _score_nodes[(triton.cdiv(part, together), heads // group * parts, batch)](
            query, tree, scores, *part_where, base, width, *strides,
            GROUP=group, PARTS=parts, PADDED=padded, TOGETHER=together, ROWS=rows,
            NODES=max(16, room * room // max(room, rows)), num_warps=8, num_stages=2, **geometry,
        )  # fmt: skip
        _keep_dense[(triton.cdiv(batch * heads * part, more),)](
            scores, nodes, chosen, batch * heads * part, *part_where, base, width, skipped, blocks,
            PAIRS=more, num_warps=4, **search,
        )  # fmt: skip
    for level in reversed(range(base)):
        _score_children[(blocks, heads, batch)](
            query, tree, nodes, scores, *where, level, *strides,
            GROUP=group, SLOTS=slots, ROWS=rows, NODES=min(room, 2 * slots),
            num_warps=8 if rows > 16 else 4, num_stages=1, **geometry,
        )  # fmt: skip
        _keep_children[(triton.cdiv(pairs, few),)](
            scores, nodes, chosen, pairs, *where, level, PAIRS=few, num_warps=1, **search
        )
    return chosen


def search_one(query: Tensor, key: Tensor, length: Tensor, config: HipConfig, chosen: Tensor) -> None:
    """Representative search for query [B, Hq, 1, D], the last of `length` int32 [1] keys, into int32 [B, Hq, K]."""
    batch, heads, _, dim = query.shape
    slots = triton.next_power_of_2(config.selected_blocks)
    _halve[(1, heads, batch)](
        query, key, chosen, 0, 0, length, 0, 1, *query.stride()[:3], *key.stride()[:3],
        GROUP=heads // key.shape[1], BUDGET=config.selected_blocks, SLOTS=slots, ROWS=16, SORTED=slots > RANKED_SLOTS,
        CENTER=config.selector == "representative", ON_DEVICE=True, num_warps=4,
        BLOCK_Q=config.block_q, BLOCK_K=config.block_k, SINK=config.sink, WINDOW=config.window,
        STRIDE=config.query_stride, SIZE=dim, WIDTH=triton.next_power_of_2(dim), PRECISION=precision(query),
    )  # fmt: skip


def precision(x: Tensor) -> str:
    return "ieee" if x.dtype == torch.float32 else "tf32"


@triton.jit
def row_range(block, begin, length_k, BLOCK_Q: tl.constexpr):
    """First and last position of the rows of query block `block` that exist."""
    return tl.maximum(block * BLOCK_Q, begin), tl.minimum((block + 1) * BLOCK_Q, length_k) - 1


@triton.jit
def searchable(last, SINK: tl.constexpr, WINDOW: tl.constexpr, BLOCK_K: tl.constexpr):
    """Number of key blocks between the sink and the window of the row at `last`."""
    return tl.maximum(0, tl.cdiv(tl.maximum(0, last - WINDOW + 1), BLOCK_K) - SINK // BLOCK_K)


@triton.jit
def spread_factor(log2_keys):
    """sqrt(2 ln n) of n = 2 ** log2_keys keys, of which there are taken to be at least two."""
    return tl.sqrt(1.3862943611198906 * tl.maximum(log2_keys, 1.0))


@triton.jit
def keep_best(score, valid, BUDGET: tl.constexpr, SLOTS: tl.constexpr, SORTED: tl.constexpr):
    """Where the best BUDGET of 2 * SLOTS scores go when packed in their order, -1 where a score is not kept.

    Scores are compared as integers whose last bits number the slots, so that no two are equal; what those bits held
    is beyond the accuracy of the scores.
    """
    slot = tl.arange(0, 2 * SLOTS)
    bits = score.to(tl.int32, bitcast=True)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    order = tl.where(valid, order, -2147483648)
    order = (order & -(2 * SLOTS)) | (2 * SLOTS - 1 - slot)
    if SORTED:
        best = tl.sort(order, descending=True)
        keep = order >= tl.min(tl.where(slot < BUDGET, best, 2147483647), 0)
    else:
        keep = tl.sum((order[None, :] > order[:, None]).to(tl.int32), 1) < BUDGET
    keep = (valid & keep).to(tl.int32)
    return tl.where(keep > 0, tl.cumsum(keep, 0) - 1, -1)


@triton.jit
def pack(values, place, SLOTS: tl.constexpr):
    """Move each of the 2 * SLOTS non-negative values to its place; -1 fills the places nobody takes."""
    taken = place[None, :] == tl.arange(0, SLOTS)[:, None]
    return tl.sum(tl.where(taken, values[None, :] + 1, 0), 1) - 1


@triton.jit(do_not_specialize=["first_block", "begin", "length_k", "offset", "blocks", "base", "width"])
def _score_nodes(
    query, tree, scores, first_block, begin, length_k, offset, blocks, base, width,
    sqb, sqh, sqt, stb, sth,
    GROUP: tl.constexpr, PARTS: tl.constexpr, PADDED: tl.constexpr, TOGETHER: tl.constexpr, ROWS: tl.constexpr,
    NODES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr, STRIDE: tl.constexpr,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Score the nodes of level `base` and above for TOGETHER query blocks and PADDED heads of a KV group.

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
    position = last - tl.minimum(row % ROWS, (last - first) // STRIDE) * STRIDE  # repeated rows change no maximum
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


@triton.jit
def _places(score, valid, BUDGET: tl.constexpr, SLOTS: tl.constexpr):
    """Where the best BUDGET of the scores in each row go when packed in their order, -1 where a score is not kept.

    The threshold is found bit by bit. Scores are compared as integers whose last bits number the slots, so that no
    two are equal; what those bits held is beyond the accuracy of the scores.
    """
    bits = score.to(tl.int32, bitcast=True)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    order = tl.where(valid, order, -2147483648)
    order = (order & -(2 * SLOTS)) | (2 * SLOTS - 1 - tl.arange(0, 2 * SLOTS))[None, :]
    threshold = tl.where(tl.sum((order >= 0).to(tl.int32), 1) >= BUDGET, 0, -2147483648)
    for i in tl.static_range(31):
        higher = threshold + (1 << (30 - i))
        enough = tl.sum((order >= higher[:, None]).to(tl.int32), 1) >= BUDGET
        threshold = tl.where(enough, higher, threshold)
    keep = (valid & (order >= threshold[:, None])).to(tl.int32)
    return tl.where(keep > 0, tl.cumsum(keep, 1) - 1, -1)


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
    """Descend from the top to level `base` through scores that `_score_nodes` left, PAIRS pairs at a time.

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
        place = _places(score, valid, BUDGET, SLOTS)
        tl.debug_barrier()
        tl.store(nodes + pair * SLOTS + slot, tl.full([PAIRS, SLOTS], -1, tl.int32), mask=here)
        tl.debug_barrier()
        tl.store(nodes + pair * SLOTS + place, child, mask=(place >= 0) & here)
        tl.debug_barrier()
        node = tl.load(nodes + pair * SLOTS + slot, mask=here, other=-1)
    if base == 0:
        tl.store(chosen + pair * BUDGET + slot, node + SINK // BLOCK_K, mask=here & (slot < BUDGET))


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
    place = _places(score, valid, BUDGET, SLOTS)
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
    position = last - tl.minimum(tl.arange(0, ROWS), (last - first) // STRIDE) * STRIDE
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


@triton.jit(do_not_specialize=["first_block", "begin", "length_k", "offset", "blocks"])
def _halve(
    query, key, chosen, first_block, begin, length_k, offset, blocks,
    sqb, sqh, sqt, skb, skh, skt,
    GROUP: tl.constexpr, BUDGET: tl.constexpr, SLOTS: tl.constexpr, ROWS: tl.constexpr, SORTED: tl.constexpr,
    CENTER: tl.constexpr, ON_DEVICE: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr, STRIDE: tl.constexpr,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Halve BUDGET groups of key blocks until each is one block, scoring a half by one block of its keys."""
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    index = tl.program_id(0)
    dim = tl.arange(0, WIDTH)
    inside = dim < SIZE
    if ON_DEVICE:
        length_k = tl.load(length_k)
        first, last = length_k - 1, length_k - 1
        offset = last
    else:
        first, last = row_range(first_block + index, begin, length_k, BLOCK_Q)
    position = last - tl.minimum(tl.arange(0, ROWS), (last - first) // STRIDE) * STRIDE
    rows = query + batch * sqb + head * sqh + ((position - offset).to(tl.int64) * sqt)[None, :] + dim[:, None]
    q = tl.load(rows, mask=inside[:, None], other=0.0)
    key += batch * skb + head // GROUP * skh + SINK * skt

    count = searchable(last, SINK, WINDOW, BLOCK_K)
    slot = tl.arange(0, SLOTS)
    start = (slot.to(tl.int64) * count // BUDGET).to(tl.int32)
    size = tl.where(slot < BUDGET, ((slot + 1).to(tl.int64) * count // BUDGET).to(tl.int32) - start, 0)
    while tl.max(size, 0) > 1:
        half = (size + 1) // 2
        starts = tl.reshape(tl.join(start, start + half), [2 * SLOTS])
        sizes = tl.reshape(tl.join(half, size - half), [2 * SLOTS])
        valid = sizes > 0
        block = starts + sizes // 2 if CENTER else starts
        score = tl.full([2 * SLOTS], float("-inf"), tl.float32)
        for i in range(BLOCK_K):
            at = key + ((block * BLOCK_K + i).to(tl.int64) * skt)[:, None] + dim[None, :]
            keys = tl.load(at, mask=valid[:, None] & inside[None, :], other=0.0)
            score = tl.maximum(score, tl.max(tl.dot(keys, q, input_precision=PRECISION), 1))
        place = keep_best(score, valid, BUDGET, SLOTS, SORTED)
        start = pack(starts, place, SLOTS)
        size = pack(sizes, place, SLOTS)
    pair = (batch * tl.num_programs(1) + head) * blocks + index
    tl.store(chosen + pair * BUDGET + slot, start + SINK // BLOCK_K, mask=slot < BUDGET)
