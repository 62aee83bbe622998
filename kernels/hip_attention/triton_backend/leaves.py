"""Scores of key blocks by the votes of rows, for the last level of `select.py`, as Triton kernels.

`_find_largest` finds the largest logit that each row has in each leaf, and `_count_votes` turns these into scores.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from hip_attention.config import HipConfig
from hip_attention.triton_backend.common import row_range, score_constants, scored_position, scored_rows, searchable

LARGEST = 1 << 23  # largest logits in memory at a time: 32 MiB, which fit a large GPU's cache
VOTES = 1 << 12  # largest logits that a program reads at a time


def score_leaves(
    query: Tensor, key: Tensor, nodes: Tensor, scores: Tensor, where: tuple[int, ...], config: HipConfig, room: int
) -> None:
    """Score the leaves below the nodes [B, Hq, blocks, slots] that query blocks kept.

    query [B, Hq, Tq, D], key [B, Hkv, >= Tk, D]; `where` says which query blocks, as in `select.py`. Writes scores
    [B, Hq, blocks, 2 * slots]. A program holds at most `room` keys.
    """
    batch, heads = query.shape[:2]
    blocks, slots = nodes.shape[2:]
    rows, leaf = scored_rows(config), triton.next_power_of_2(config.block_k)
    pairs = batch * heads * blocks
    together = min(pairs, max(1, LARGEST // (2 * slots * rows)))
    largest = torch.empty(together, 2 * slots, rows, dtype=torch.float32, device=query.device)
    constants = dict(SLOTS=slots, ROWS=rows, num_warps=8 if rows > 16 else 4, **score_constants(query, config))
    for pair in range(0, pairs, together):
        grid = (min(together, pairs - pair),)
        _find_largest[grid](
            query, key, nodes, largest, pair, heads, *where, *query.stride()[:3], *key.stride()[:3],
            GROUP=heads // key.shape[1], LEAF=leaf, NODES=triton.cdiv(max(16, min(room, 2 * slots * leaf)), leaf),
            num_stages=1, **constants,
        )  # fmt: skip
        _count_votes[grid](
            nodes, largest, scores, pair, *where, LEAVES=min(2 * slots, max(1, VOTES // rows)), **constants
        )


@triton.jit(do_not_specialize=["first_pair", "heads", "first_block", "begin", "length_k", "offset", "blocks"])
def _find_largest(
    query, key, nodes, largest, first_pair, heads, first_block, begin, length_k, offset, blocks,
    sqb, sqh, sqt, skb, skh, skt,
    GROUP: tl.constexpr, SLOTS: tl.constexpr, ROWS: tl.constexpr, LEAF: tl.constexpr, NODES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr, STRIDE: tl.constexpr,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Largest logit of the BLOCK_K keys of each leaf for each row: largest [pairs from first_pair on, 2 * SLOTS, ROWS].

    A pair is a query block and a head. A leaf's last key is repeated until there are LEAF keys, which changes no
    maximum. Results for leaves that do not exist are meaningless.
    """
    pair = first_pair + tl.program_id(0)
    index, head, batch = pair % blocks, (pair // blocks % heads).to(tl.int64), (pair // blocks // heads).to(tl.int64)
    dim = tl.arange(0, WIDTH)
    inside = (dim < SIZE)[None, :]
    row = tl.arange(0, ROWS)
    first, last = row_range(first_block + index, begin, length_k, BLOCK_Q)
    position = scored_position(row, first, last, STRIDE)
    rows = query + batch * sqb + head * sqh + ((position - offset).to(tl.int64) * sqt)[:, None] + dim[None, :]
    q = tl.trans(tl.load(rows, mask=inside, other=0.0))
    nodes += pair.to(tl.int64) * SLOTS
    largest += tl.program_id(0).to(tl.int64) * (2 * SLOTS * ROWS)
    key += batch * skb + head // GROUP * skh
    count = searchable(last, SINK, WINDOW, BLOCK_K)
    one = tl.arange(0, NODES * LEAF)
    member = tl.minimum(one % LEAF, BLOCK_K - 1) + SINK
    for start in range(0, 2 * SLOTS, NODES):
        slot = tl.minimum(start + one // LEAF, 2 * SLOTS - 1)
        leaf = 2 * tl.load(nodes + slot // 2) + slot % 2
        token = tl.minimum(tl.maximum(leaf, 0), count - 1) * BLOCK_K + member
        keys = tl.load(key + (token.to(tl.int64) * skt)[:, None] + dim[None, :], mask=inside, other=0.0)
        logit = tl.reshape(tl.dot(keys, q, input_precision=PRECISION), [NODES, LEAF, ROWS])
        slot = start + tl.arange(0, NODES)
        tl.store(largest + slot[:, None] * ROWS + row[None, :], tl.max(logit, 1), mask=(slot < 2 * SLOTS)[:, None])


@triton.jit(do_not_specialize=["first_pair", "first_block", "begin", "length_k", "offset", "blocks"])
def _count_votes(
    nodes, largest, scores, first_pair, first_block, begin, length_k, offset, blocks,
    SLOTS: tl.constexpr, ROWS: tl.constexpr, LEAVES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr, STRIDE: tl.constexpr,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Score each leaf by the sum over rows of its share in the softmax, over leaves, of the row's largest logits.

    Logits are scaled by SIZE^-0.5. LEAVES leaves are read at a time. A leaf that does not exist gets 0.
    """
    pair = first_pair + tl.program_id(0)
    first, last = row_range(first_block + pair % blocks, begin, length_k, BLOCK_Q)
    count = searchable(last, SINK, WINDOW, BLOCK_K)
    row = tl.arange(0, ROWS)
    nodes += pair.to(tl.int64) * SLOTS
    scores += pair.to(tl.int64) * (2 * SLOTS)
    largest += tl.program_id(0).to(tl.int64) * (2 * SLOTS * ROWS)
    most = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    for start in range(0, 2 * SLOTS, LEAVES):
        logit = _logits(nodes, largest, start, row, count, ROWS, LEAVES, SIZE)
        higher = tl.maximum(most, tl.max(logit, 0))  # not -inf: the first leaf exists
        total = total * tl.exp2(most - higher) + tl.sum(tl.exp2(logit - higher[None, :]), 0)
        most = higher
    weight = tl.where(row <= (last - first) // STRIDE, 1 / total, 0.0)  # repeated rows do not vote again
    for start in range(0, 2 * SLOTS, LEAVES):
        logit = _logits(nodes, largest, start, row, count, ROWS, LEAVES, SIZE)
        votes = tl.sum(tl.exp2(logit - most[None, :]) * weight[None, :], 1)
        tl.store(scores + start + tl.arange(0, LEAVES), votes)


@triton.jit
def _logits(nodes, largest, start, row, count, ROWS: tl.constexpr, LEAVES: tl.constexpr, SIZE: tl.constexpr):
    """Logits to the base 2 of the leaves from `start` on, [LEAVES, ROWS], -inf for a leaf that does not exist."""
    slot = start + tl.arange(0, LEAVES)
    leaf = 2 * tl.load(nodes + slot // 2) + slot % 2
    logit = tl.load(largest + slot[:, None] * ROWS + row[None, :]) * (1.4426950408889634 * SIZE**-0.5)
    return tl.where(((leaf >= 0) & (leaf < count))[:, None], logit, float("-inf"))
