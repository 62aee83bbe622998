"""Attention of one decoded token with Triton, its keys divided among programs whose results are merged."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import triton
import triton.language as tl


@triton.jit
def _numbers(
    at, here, row, calibration, inside, scales, spreads, centres, CODED: tl.constexpr, like: tl.constexpr
):  # fmt: skip
    """Numbers at the addresses `at` [n, m], if CODED dequantised numbers: see `cache.int8.Codes`.

    row [n, 1] and calibration [1, m] are the offsets of the rows' scales, and of the spread and centre of dimensions.
    """
    x = tl.load(at, mask=here & inside, other=0)
    if CODED:
        scale = tl.load(scales + row, mask=here, other=0.0).to(tl.float32)
        spread = tl.load(spreads + calibration, mask=inside, other=0.0).to(tl.float32)
        centre = tl.load(centres + calibration, mask=inside, other=0.0).to(tl.float32)
        x = (x.to(tl.float32) * scale * spread + centre).to(like)
    return x


@triton.jit
def attend_split(
    query, key, value, chosen, totals, norms, length, refreshed, cosine, sine,
    key_scales, key_spread, key_centre, value_scales, value_spread, value_centre, scale,
    sqb, sqh, skb, skh, skt, svb, svh, svt,
    GROUP: tl.constexpr, MEMBERS: tl.constexpr, ROWS: tl.constexpr, GATHERED: tl.constexpr, BLOCK_K: tl.constexpr,
    SINK: tl.constexpr, WINDOW: tl.constexpr, SPLITS: tl.constexpr, CHUNK: tl.constexpr, SIZE: tl.constexpr,
    WIDTH: tl.constexpr, SIZE_V: tl.constexpr, WIDTH_V: tl.constexpr, ROTATE: tl.constexpr, PACKED: tl.constexpr,
    CODED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """MEMBERS heads of a GQA group attend to CHUNK keys of those they selected, or of sink and window.

    The selected keys are GATHERED in all, the list of one head after that of another. The window has grown since the
    refresh. If ROTATE, SIZE is half the head dimension.
    """
    split, members, batch = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    SELECTED: tl.constexpr = GATHERED // BLOCK_K
    CHUNKS: tl.constexpr = (GATHERED + CHUNK - 1) // CHUNK
    newest = tl.load(length)
    oldest = tl.load(refreshed) - WINDOW
    n = tl.arange(0, CHUNK)
    u = split * CHUNK + n
    w = u - CHUNKS * CHUNK
    token = tl.where(w < SINK, w, oldest + w - SINK)
    seen = (token >= 0) & (token < newest)
    if GATHERED > 0:
        slot = u // BLOCK_K
        lists = chosen + (batch * tl.num_programs(1) + members) * SELECTED
        block = tl.load(lists + slot, mask=slot < SELECTED, other=-1)
        gathered = block * BLOCK_K + u % BLOCK_K
        seen = tl.where(split < CHUNKS, (block >= 0) & (gathered < oldest), seen)
        token = tl.where(split < CHUNKS, gathered, token)
    place = token
    if PACKED:
        place = tl.where(split < CHUNKS, SINK + u, tl.where(w < SINK, w, GATHERED + w))
    token = token.to(tl.int64)[:, None]
    row = tl.arange(0, ROWS)
    present = (row < MEMBERS)[:, None]
    head = members * MEMBERS + row
    dim = tl.arange(0, WIDTH)
    inside = (dim < SIZE)[None, :]
    here = seen[:, None]
    like: tl.constexpr = query.dtype.element_ty
    head_k = members * MEMBERS // GROUP
    queries = query + batch * sqb + head[:, None] * sqh + dim[None, :]
    first_key = batch * skb + head_k * skh
    keys = key + first_key + token * skt + dim[None, :]
    # Codes are contiguous, so the offsets of scales and calibration follow from those of keys and values.
    row_k, calibration_k = first_key // skt + token, first_key // skh * skt + dim[None, :]
    q = tl.load(queries, mask=present & inside, other=0.0)
    k = _numbers(keys, here, row_k, calibration_k, inside, key_scales, key_spread, key_centre, CODED, like)
    dim_v = tl.arange(0, WIDTH_V)
    inside_v = (dim_v < SIZE_V)[None, :]
    first_value = batch * svb + head_k * svh
    values = value + first_value + token * svt + dim_v[None, :]
    row_v, calibration_v = first_value // svt + token, first_value // svh * svt + dim_v[None, :]
    if PRECISION != "ieee":  # overlaps both loads, but in float32 shared memory does not hold keys and values at once
        v = _numbers(
            values, here, row_v, calibration_v, inside_v, value_scales, value_spread, value_centre, CODED, like
        )
    if ROTATE:
        other_q = tl.load(queries + SIZE, mask=present & inside, other=0.0)
        other_k = _numbers(
            keys + SIZE, here, row_k, calibration_k + SIZE, inside, key_scales, key_spread, key_centre, CODED, like
        )
        angle = place[:, None] * SIZE + dim[None, :]
        cos = tl.load(cosine + angle, mask=here & inside, other=0.0).to(tl.float32)
        sin = tl.load(sine + angle, mask=here & inside, other=0.0).to(tl.float32)
        first = (k * cos - other_k * sin).to(q.dtype)
        second = (other_k * cos + k * sin).to(q.dtype)
        logits = tl.dot(q, tl.trans(first), input_precision=PRECISION)
        logits = tl.dot(other_q, tl.trans(second), logits, input_precision=PRECISION)
    else:
        logits = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    logits = tl.where(seen[None, :], logits * scale, float("-inf"))
    peak = tl.maximum(tl.max(logits, 1), -1.0e30)
    p = tl.math.exp2(logits - peak[:, None])
    if PRECISION == "ieee":
        v = _numbers(
            values, here, row_v, calibration_v, inside_v, value_scales, value_spread, value_centre, CODED, like
        )
    total = tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
    at = (batch * tl.num_programs(1) * MEMBERS + head) * SPLITS + split
    tl.store(totals + at[:, None] * SIZE_V + dim_v[None, :], total, mask=present & inside_v)
    tl.store(norms + 2 * at, peak, mask=row < MEMBERS)
    tl.store(norms + 2 * at + 1, tl.sum(p, 1), mask=row < MEMBERS)


@triton.jit
def merge_splits(
    totals, norms, output, sob, soh,
    SPLITS: tl.constexpr, SLOTS: tl.constexpr, SIZE_V: tl.constexpr, WIDTH_V: tl.constexpr,
):  # fmt: skip
    """Merge the results of a head's programs, each scaled by its peak logit, for WIDTH_V of SIZE_V dimensions."""
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    split = tl.arange(0, SLOTS)
    dim = tl.program_id(0) * WIDTH_V + tl.arange(0, WIDTH_V)
    place = (batch * tl.num_programs(1) + head) * SPLITS + split
    here = split < SPLITS
    peak = tl.load(norms + 2 * place, mask=here, other=-1.0e30)
    fade = tl.math.exp2(peak - tl.max(peak, 0))
    weight = tl.sum(fade * tl.load(norms + 2 * place + 1, mask=here, other=0.0), 0)
    inside = dim < SIZE_V
    parts = tl.load(totals + place[:, None] * SIZE_V + dim[None, :], mask=here[:, None] & inside[None, :], other=0.0)
    total = tl.sum(parts * fade[:, None], 0) / tl.where(weight > 0, weight, 1.0)
    tl.store(output + batch * sob + head * soh + dim, total.to(output.dtype.element_ty), mask=inside)
