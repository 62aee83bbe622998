"""The representative selectors of `reference` as a Triton kernel: one program per query block and head."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import triton
import triton.language as tl
from torch import Tensor

from hip_attention.config import HipConfig
from hip_attention.triton_backend.common import row_range, score_constants, scored_position, scored_rows, searchable
from hip_attention.triton_backend.ranking import keep_best, pack

COUNTED_SLOTS = 64  # the search ranks larger budgets by sorting


def search(
    query: Tensor, key: Tensor, begin: int, blocks: int, length_k: int, config: HipConfig, chosen: Tensor
) -> None:
    """Select for the `blocks` query blocks from position `begin` on, into int32 [B, Hq, blocks, K].

    query [B, Hq, Tq, D] stands at the end of `length_k` keys; key [B, Hkv, >= length_k, D].
    """
    _launch(query, key, begin, blocks, length_k, length_k - query.shape[2], scored_rows(config), config, chosen)


def search_one(query: Tensor, key: Tensor, length: Tensor, config: HipConfig, chosen: Tensor) -> None:
    """Select for query [B, Hq, 1, D], the last of `length` int32 [1] keys, into int32 [B, Hq, K]."""
    _launch(query, key, 0, 1, length, 0, 16, config, chosen)


def _launch(
    query: Tensor, key: Tensor, begin: int, blocks: int, length_k: int | Tensor, offset: int, rows: int,
    config: HipConfig, chosen: Tensor,
) -> None:  # fmt: skip
    """Where `length_k` is on the device, `begin` and `offset` are ignored: the query is the last row."""
    batch, heads = query.shape[:2]
    slots = triton.next_power_of_2(config.selected_blocks)
    _halve[(blocks, heads, batch)](
        query, key, chosen, begin // config.block_q, begin, length_k, offset, blocks,
        *query.stride()[:3], *key.stride()[:3],
        GROUP=heads // key.shape[1], BUDGET=config.selected_blocks, SLOTS=slots, ROWS=rows,
        SORTED=slots > COUNTED_SLOTS, CENTER=config.selector == "representative",
        ON_DEVICE=isinstance(length_k, Tensor), num_warps=4, **score_constants(query, config),
    )  # fmt: skip


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
    position = scored_position(tl.arange(0, ROWS), first, last, STRIDE)
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
