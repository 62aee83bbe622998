"""Block-sparse attention over sink, selected and window keys as one Triton kernel."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from hip_attention.triton_backend.common import precision, row_range

GLUON = tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 6)  # has what `hopper.py` needs


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor | None,
    begin: int,
    count: int,
    length_k: int,
    output: Tensor,
    *,
    scale: float,
    sink: int,
    window: int,
    block_q: int,
    block_k: int,
    tables: tuple[Tensor, Tensor] | None = None,
    packed: bool = False,
    padded: bool = False,
) -> None:
    """Attention for the `count` query blocks from position `begin` on, written into `output` [B, Hq, Tq, D].

    query [B, Hq, Tq, D] stands at the end of `length_k` keys; key and value [B, Hkv, >= length_k, D]; blocks int32
    [B, Hq, count, K], ascending, none of them in the sink, or None for sink and window alone. Every row must see the
    whole sink.

    With `tables`, cosine and sine [positions, D / 2], keys come before RoPE, which is applied as they are read: at true
    positions, or if `packed` at their places among sink, selected blocks and window. The query arrives rotated.
    `padded`: any number of the last blocks may lie beyond the keys, where no row sees them.
    """
    batch, heads, length_q, dim = query.shape
    dim_v = value.shape[3]
    selected = 0 if blocks is None else blocks.shape[3]
    row_bytes = triton.next_power_of_2(max(dim, dim_v)) * query.element_size()
    tile = min(128 if row_bytes <= 256 else 64, max(16, triton.next_power_of_2(block_q)))
    tiles = triton.cdiv(block_q, tile)
    if tile == 128:
        settings = dict(CHUNK=64, NARROW=32, num_warps=8, num_stages=3)
    else:
        settings = dict(CHUNK=32, NARROW=32, num_warps=4, num_stages=4 if row_bytes <= 256 else 2)
    if query.is_cuda and not torch.version.hip and row_bytes <= 256:
        settings["maxnreg"] = 128  # two programs of 8 warps, or four of 4, on a multiprocessor of sm_80 and later
    part = dim if tables is None else dim // 2
    cosine, sine = tables if tables is not None else (query, query)
    far = max(x.stride(2) * length_k for x in (key, value)) >= 1 << 31
    grid = (heads * count * tiles, batch)
    # Weights beyond 65504 do not fit float16, so there every tile is CAREFUL.
    careful = query.dtype == torch.float16
    flags = torch.zeros(grid[::-1], dtype=torch.int32, device=query.device)
    blocks = flags if blocks is None else blocks
    launches = (True,) if careful else (False, True)
    if tables is None and is_hopper(query):
        from hip_attention.triton_backend import hopper

        if hopper.fits(query, key, value, block_q, block_k, sink) and (
            not padded or hopper.hides_any(selected, block_k)
        ):
            hopper.attend(
                query, key, value, blocks, begin, count, length_k, output, flags,
                scale=scale, selected=selected, sink=sink, window=window, block_k=block_k,
            )  # fmt: skip
            launches = (True,)
    for care in launches:
        _attend[grid](
            query, key, value, output, blocks, flags, cosine, sine,
            cosine.shape[0], begin // block_q, begin, length_k, length_k - length_q, count, scale * 1.4426950408889634,
            *query.stride()[:3], *key.stride()[:3], *value.stride()[:3], *output.stride()[:3],
            HEADS=heads, GROUP=heads // key.shape[1], BLOCK_Q=block_q, BLOCK_K=block_k, SELECTED=selected, SINK=sink,
            WINDOW=window, TILE=tile, TILES=tiles, INDEX=tl.int64 if far else tl.int32,
            SIZE=part, WIDTH=max(16, triton.next_power_of_2(part)), SIZE_V=dim_v,
            WIDTH_V=triton.next_power_of_2(dim_v), ROTATE=tables is not None, PACKED=packed,
            PADDED=padded, PRECISION=precision(query), CAREFUL=care, FLAGGED=care and not careful, **settings,
        )  # fmt: skip


def is_hopper(x: Tensor) -> bool:
    """Whether `hopper.py` runs on the device of `x`."""
    return GLUON and x.is_cuda and not torch.version.hip and torch.cuda.get_device_capability(x.device)[0] == 9


@triton.jit
def _accumulate(logits, v, total, peak, weight, scale, PRECISION: tl.constexpr):
    """Add keys with these logits [m, n] and values v [n, D] to a running softmax."""
    highest = tl.maximum(peak, tl.max(logits, 1) * scale)
    p = tl.math.exp2(logits * scale - highest[:, None])
    fade = tl.math.exp2(peak - highest)
    weight = weight * fade + tl.sum(p, 1)
    total = tl.dot(p.to(v.dtype), v, total * fade[:, None], input_precision=PRECISION)
    return total, highest, weight


@triton.jit
def _load_rows(at, dim, SIZE: tl.constexpr, WIDTH: tl.constexpr):
    """Load rows of SIZE numbers, padded with zeros to WIDTH; `dim` are the columns of the addresses."""
    return tl.load(at) if SIZE == WIDTH else tl.load(at, mask=dim < SIZE, other=0.0)


@triton.jit
def _logits(
    q, other, key, token, skt, dim, cosine, sine, positions, place,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, ROTATE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Products of queries with the keys `token` [n, 1]. If ROTATE, RoPE is applied to the keys at positions `place`
    [n]; then `q` and `other` are the two halves of the queries, and SIZE is half the head dimension."""
    at = key + (token * skt + dim[None, :])
    if ROTATE:
        first = _load_rows(at, dim[None, :], SIZE, WIDTH)
        second = _load_rows(at + SIZE, dim[None, :], SIZE, WIDTH)
        # Keys that no row sees may have positions outside of the tables.
        angle = tl.minimum(tl.maximum(place, 0), positions - 1)[:, None] * SIZE + dim[None, :]
        cos = _load_rows(cosine + angle, dim[None, :], SIZE, WIDTH).to(tl.float32)
        sin = _load_rows(sine + angle, dim[None, :], SIZE, WIDTH).to(tl.float32)
        rotated = (first * cos - second * sin).to(q.dtype)
        logits = tl.dot(q, tl.trans(rotated), input_precision=PRECISION)
        rotated = (second * cos + first * sin).to(q.dtype)
        logits = tl.dot(other, tl.trans(rotated), logits, input_precision=PRECISION)
    else:
        k = _load_rows(at, dim[None, :], SIZE, WIDTH)
        logits = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    return logits


@triton.jit(do_not_specialize=["positions", "first_block", "begin", "length_k", "offset", "blocks"])
def _attend(
    query, key, value, output, chosen, flags, cosine, sine, positions,
    first_block, begin, length_k, offset, blocks, scale,
    sqb, sqh, sqt, skb, skh, skt, svb, svh, svt, sob, soh, sot,
    HEADS: tl.constexpr, GROUP: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, SELECTED: tl.constexpr,
    SINK: tl.constexpr, WINDOW: tl.constexpr, TILE: tl.constexpr, TILES: tl.constexpr, CHUNK: tl.constexpr,
    NARROW: tl.constexpr, INDEX: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, SIZE_V: tl.constexpr,
    WIDTH_V: tl.constexpr, ROTATE: tl.constexpr, PACKED: tl.constexpr, PADDED: tl.constexpr, PRECISION: tl.constexpr,
    CAREFUL: tl.constexpr, FLAGGED: tl.constexpr,
):  # fmt: skip
    """One tile of rows of one query block and head. Heads of a GQA group run beside each other and share its keys.

    Chunks of keys that some rows may not see come first: selected blocks at the window's edge, the window's first and
    last keys. Then come those that all rows see: selected blocks away from the window, sink, middle of the window.
    For the latter the running maximum is not updated, which saves a third of the work between two products: weights may
    then exceed 1, which floating point allows. A tile whose weights exceed 1e30 is flagged and computed again by a
    second launch, which is CAREFUL and skips tiles without a flag.
    """
    batch = tl.program_id(1).to(tl.int64)
    job = tl.program_id(0)
    flag = flags + batch * tl.num_programs(0) + job
    if FLAGGED:  # noqa: SIM102
        if tl.load(flag) == 0:
            return
    index = job // (GROUP * TILES) % blocks
    head = (job // (GROUP * TILES) // blocks * GROUP + job % GROUP).to(tl.int64)
    first, last = row_range(first_block + index, begin, length_k, BLOCK_Q)
    # Adding this to a window key's position gives its packed one; the bias makes the division round down.
    BIAS: tl.constexpr = (WINDOW + BLOCK_K - 1) // BLOCK_K
    start = ((first_block + index) * BLOCK_Q - WINDOW + 1 + BIAS * BLOCK_K) // BLOCK_K - BIAS
    shift = SINK + SELECTED * BLOCK_K - start * BLOCK_K
    first += job // GROUP % TILES * TILE
    last = tl.minimum(last, first + TILE - 1)
    position = first + tl.arange(0, TILE)
    here = position <= last
    n = tl.arange(0, CHUNK)
    dim = tl.arange(0, WIDTH)
    dim_v = tl.arange(0, WIDTH_V)
    query += batch * sqb + head * sqh
    key += batch * skb + head // GROUP * skh
    value += batch * svb + head // GROUP * svh
    chosen += ((batch * HEADS + head) * blocks + index) * SELECTED
    rows = query + (position - offset).to(tl.int64)[:, None] * sqt + dim[None, :]
    q = tl.load(rows, mask=here[:, None] & (dim < SIZE)[None, :], other=0.0)
    other = q
    if ROTATE:
        other = tl.load(rows + SIZE, mask=here[:, None] & (dim < SIZE)[None, :], other=0.0)
    total = tl.zeros([TILE, WIDTH_V], tl.float32)
    peak = tl.full([TILE], -1.0e30, tl.float32)
    weight = tl.zeros([TILE], tl.float32)

    # Loop bounds depend on no loaded value, because a loop that the compiler cannot prove uniform is slower.
    GATHERED: tl.constexpr = SELECTED * BLOCK_K
    EDGE: tl.constexpr = ((BLOCK_Q - 1) // BLOCK_K + 2) * BLOCK_K
    FREE: tl.constexpr = (GATHERED - EDGE if GATHERED > EDGE and not PADDED else 0) // CHUNK
    LATE: tl.constexpr = (GATHERED - FREE * CHUNK + NARROW - 1) // NARROW
    OLDEST: tl.constexpr = (TILE + NARROW - 1) // NARROW
    SINKS: tl.constexpr = SINK // CHUNK
    REST: tl.constexpr = (SINK % CHUNK + NARROW - 1) // NARROW
    low = tl.maximum(SINK, first - WINDOW)
    inner = low + OLDEST * NARROW
    middle = tl.maximum(0, first - inner) // CHUNK
    newest = inner + middle * CHUNK
    m = tl.arange(0, NARROW)
    for c in range(0, LATE):
        u = FREE * CHUNK + c * NARROW + m
        block = tl.load(chosen + u // BLOCK_K, mask=u < GATHERED, other=(1 << 30) // BLOCK_K)
        token = block * BLOCK_K + u % BLOCK_K
        seen = position[:, None] >= (token + WINDOW)[None, :]
        token = tl.minimum(token, length_k - 1)
        place = SINK + u if PACKED else token
        token = token.to(INDEX)[:, None]
        logits = _logits(q, other, key, token, skt, dim, cosine, sine, positions, place, SIZE, WIDTH, ROTATE, PRECISION)
        logits = tl.where(seen, logits, float("-inf"))
        v = _load_rows(value + (token * svt + dim_v[None, :]), dim_v[None, :], SIZE_V, WIDTH_V)
        total, peak, weight = _accumulate(logits, v, total, peak, weight, scale, PRECISION)
    for c in tl.range(0, REST + OLDEST + tl.maximum(0, tl.cdiv(last + 1 - newest, NARROW)), num_stages=2):
        w = c - REST
        token = tl.where(w < OLDEST, low + w * NARROW, newest + (w - OLDEST) * NARROW) + m
        since = token
        span = WINDOW
        if REST > 0:
            rest = SINKS * CHUNK + c * NARROW + m
            token = tl.where(w < 0, rest, token)
            since = tl.where(w < 0, tl.where(rest < SINK, 0, 1 << 30), since)
            span = tl.where(w < 0, 1 << 30, WINDOW)
        seen = (position[:, None] - since[None, :]).to(tl.uint32) < span
        token = tl.minimum(token, length_k - 1)
        place = token
        if PACKED:
            place = tl.where(w < 0, token, token + shift)
        token = token.to(INDEX)[:, None]
        logits = _logits(q, other, key, token, skt, dim, cosine, sine, positions, place, SIZE, WIDTH, ROTATE, PRECISION)
        logits = tl.where(seen, logits, float("-inf"))
        v = _load_rows(value + (token * svt + dim_v[None, :]), dim_v[None, :], SIZE_V, WIDTH_V)
        total, peak, weight = _accumulate(logits, v, total, peak, weight, scale, PRECISION)
    for c in range(0, FREE + SINKS + middle):
        token = tl.where(c < FREE + SINKS, (c - FREE) * CHUNK, inner + (c - FREE - SINKS) * CHUNK) + n
        if FREE > 0:
            u = c * CHUNK + n
            block = tl.load(chosen + u // BLOCK_K, mask=n < (FREE - c) * CHUNK, other=0)
            token = tl.where(c < FREE, block * BLOCK_K + u % BLOCK_K, token)
        place = token
        if PACKED:
            place = tl.where(c < FREE, SINK + c * CHUNK + n, tl.where(c < FREE + SINKS, token, token + shift))
        token = token.to(INDEX)[:, None]
        logits = _logits(q, other, key, token, skt, dim, cosine, sine, positions, place, SIZE, WIDTH, ROTATE, PRECISION)
        v = _load_rows(value + (token * svt + dim_v[None, :]), dim_v[None, :], SIZE_V, WIDTH_V)
        if CAREFUL:
            total, peak, weight = _accumulate(logits, v, total, peak, weight, scale, PRECISION)
        else:
            p = tl.math.exp2(logits * scale - peak[:, None])
            weight += tl.sum(p, 1)
            total = tl.dot(p.to(v.dtype), v, total, input_precision=PRECISION)
    if not CAREFUL:
        tl.store(flag, (tl.max(weight, 0) > 1.0e30).to(tl.int32))
    total /= tl.where(weight > 0, weight, 1.0)[:, None]
    rows = output + batch * sob + head * soh + (position - offset).to(tl.int64)[:, None] * sot + dim_v[None, :]
    tl.store(rows, total.to(output.dtype.element_ty), mask=here[:, None] & (dim_v < SIZE_V)[None, :])
