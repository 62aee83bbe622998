"""Keeping the best scores of a list inside a kernel, in their original order.

Scores are compared as integers. Their last bits, which are beyond the accuracy of the scores, are replaced by the slot
number, so that no two scores are equal.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import triton
import triton.language as tl


@triton.jit
def _order(score, valid, slot, SLOTS: tl.constexpr):
    """Distinct integers in the order of the scores, the smallest where a score is not valid."""
    bits = score.to(tl.int32, bitcast=True)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    order = tl.where(valid, order, -2147483648)
    return (order & -(2 * SLOTS)) | (2 * SLOTS - 1 - slot)


@triton.jit
def keep_best(score, valid, BUDGET: tl.constexpr, SLOTS: tl.constexpr, SORTED: tl.constexpr):
    """Places of the best BUDGET of 2 * SLOTS scores when packed in their order, -1 for scores that are not kept.

    They are found by sorting, or by counting for each how many are better, which is faster for few slots per thread.
    """
    slot = tl.arange(0, 2 * SLOTS)
    order = _order(score, valid, slot, SLOTS)
    if SORTED:
        best = tl.sort(order, descending=True)
        keep = order >= tl.min(tl.where(slot < BUDGET, best, 2147483647), 0)
    else:
        keep = tl.sum((order[None, :] > order[:, None]).to(tl.int32), 1) < BUDGET
    keep = (valid & keep).to(tl.int32)
    return tl.where(keep > 0, tl.cumsum(keep, 0) - 1, -1)


@triton.jit
def keep_best_of_rows(score, valid, BUDGET: tl.constexpr, SLOTS: tl.constexpr):
    """Places of the best BUDGET of each row's 2 * SLOTS scores when packed in their order, -1 for those not kept.

    The threshold is found bit by bit.
    """
    order = _order(score, valid, tl.arange(0, 2 * SLOTS)[None, :], SLOTS)
    threshold = tl.where(tl.sum((order >= 0).to(tl.int32), 1) >= BUDGET, 0, -2147483648)
    for i in tl.static_range(31):
        higher = threshold + (1 << (30 - i))
        enough = tl.sum((order >= higher[:, None]).to(tl.int32), 1) >= BUDGET
        threshold = tl.where(enough, higher, threshold)
    keep = (valid & (order >= threshold[:, None])).to(tl.int32)
    return tl.where(keep > 0, tl.cumsum(keep, 1) - 1, -1)


@triton.jit
def pack(values, place, SLOTS: tl.constexpr):
    """Move each of the 2 * SLOTS non-negative values to its place; -1 fills the others."""
    taken = place[None, :] == tl.arange(0, SLOTS)[:, None]
    return tl.sum(tl.where(taken, values[None, :] + 1, 0), 1) - 1
