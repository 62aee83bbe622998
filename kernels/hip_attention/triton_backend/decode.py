"""One token at a time with Triton: split attention over the selected keys, and the search that selects them.

Nothing here waits for the host: lengths are read on the device and memory is laid out once, so that a step and a
refresh can each be captured in a CUDA graph.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from hip_attention.backend import Summaries
from hip_attention.cache.int8 import Codes
from hip_attention.config import HipConfig
from hip_attention.triton_backend.common import precision, searchable, spread_factor
from hip_attention.triton_backend.ranking import keep_best_of_rows
from hip_attention.triton_backend.representative import search_one
from hip_attention.triton_backend.summaries import TreeSummaries, tree_row

CHUNK = 64  # keys a program attends to
SCORED = 128  # nodes the search scores at a time
MERGED = 4096  # numbers a program merges: 32 registers of each of its threads


class DecodeState:
    """What decode remembers between tokens of one layer, all of it on the device.

    length: int32 [1], number of keys, the newest token's among them; the caller keeps it. refreshed: int32 [1], the
    length when blocks were selected. blocks: int32 [B, Hq, K], ascending. config: as a rule a `HipConfig.of_decode`.

    Decode is bound by the memory it reads. At true positions the query heads of a key head therefore attend together,
    to all that any of them selected. At packed positions a key's place depends on what its head selected, and each head
    attends by itself.
    """

    def __init__(
        self, config: HipConfig, batch: int, heads: int, heads_k: int, dim_v: int, device: torch.device
    ) -> None:
        self.config = config
        self.length = torch.zeros(1, dtype=torch.int32, device=device)
        self.refreshed = torch.zeros(1, dtype=torch.int32, device=device)
        self.blocks = torch.zeros(batch, heads, config.selected_blocks, dtype=torch.int32, device=device)
        self._group = heads // heads_k
        self._shared = torch.empty_like(self.blocks)
        children = 2 * triton.next_power_of_2(max(1, config.selected_blocks))
        self._scores = torch.empty(batch, heads, max(SCORED, children), dtype=torch.float32, device=device)
        rows = batch * heads * self._splits(self._group)
        self._totals = torch.empty(rows, dim_v, dtype=torch.float32, device=device)
        self._norms = torch.empty(rows, 2, dtype=torch.float32, device=device)

    def refresh(self, query: Tensor, summaries: Summaries | None, key: Tensor | None) -> None:
        """Select blocks for query [B, Hq, 1, D], the newest token; arguments as those of `triton_select.select`."""
        self.refreshed.copy_(self.length)
        if not self.config.top_k:
            return
        with torch.cuda.device_of(query):
            if self.config.selector == "summary":
                assert isinstance(summaries, TreeSummaries)
                descend(query, summaries.nodes.data, self.length, self.config, self.blocks, self._scores)
            else:
                assert key is not None
                search_one(query, key, self.length, self.config, self.blocks)
        self.share()

    def share(self) -> None:
        """Find out which of `blocks` an earlier head of a group has selected too; whoever changes them calls this."""
        batch, heads, selected = self.blocks.shape
        if not selected:
            return
        with torch.cuda.device_of(self.blocks):
            _share[(heads, batch)](
                self.blocks, self._shared,
                GROUP=self._group, SELECTED=selected, SLOTS=triton.next_power_of_2(selected), num_warps=4,
            )  # fmt: skip

    def attend(
        self,
        query: Tensor,
        key: Tensor | Codes,
        value: Tensor | Codes,
        scale: float,
        output: Tensor,
        tables: tuple[Tensor, Tensor] | None = None,
        packed: bool = False,
    ) -> None:
        """Attention of query [B, Hq, 1, D] over sink, selected keys and all since the window of the refresh began.

        key and value [B, Hkv, capacity, D], or both Codes of them, contiguous; output [B, Hq, 1, D]. `tables` are
        cosine and sine [positions, D / 2] if keys are yet to be rotated: to their true positions, or if `packed` to
        their places in the row of sink, selected blocks and window. The query arrives rotated.
        """
        config = self.config
        batch, heads, _, dim = query.shape
        coded = isinstance(key, Codes)
        keys, *key_code = key if isinstance(key, Codes) else (key, query, query, query)
        values, *value_code = value if isinstance(value, Codes) else (value, query, query, query)
        dim_v = values.shape[3]
        members = 1 if packed else self._group
        splits = self._splits(members)
        part = dim if tables is None else dim // 2
        row_bytes = triton.next_power_of_2(max(dim, dim_v)) * query.element_size()
        cosine, sine = tables if tables is not None else (query, query)
        with torch.cuda.device_of(query):
            _attend_split[(splits, heads // members, batch)](
                query, keys, values, self.blocks if packed else self._shared, self._totals, self._norms, self.length,
                self.refreshed, cosine, sine, *key_code, *value_code, scale * 1.4426950408889634,
                *query.stride()[:2], *keys.stride()[:3], *values.stride()[:3],
                GROUP=self._group, MEMBERS=members, ROWS=max(16, triton.next_power_of_2(members)),
                GATHERED=members * config.top_k, BLOCK_K=config.block_k, SINK=config.sink, WINDOW=config.window,
                SPLITS=splits, CHUNK=CHUNK, SIZE=part, WIDTH=max(16, triton.next_power_of_2(part)), SIZE_V=dim_v,
                WIDTH_V=max(16, triton.next_power_of_2(dim_v)), ROTATE=tables is not None, PACKED=packed,
                CODED=coded, PRECISION=precision(query), num_warps=4 if row_bytes <= 256 else 8,
            )  # fmt: skip
            slots = triton.next_power_of_2(splits)
            width = min(triton.next_power_of_2(dim_v), max(1, MERGED // slots))
            _merge_splits[(triton.cdiv(dim_v, width), heads, batch)](
                self._totals, self._norms, output, *output.stride()[:2],
                SPLITS=splits, SLOTS=slots, SIZE_V=dim_v, WIDTH_V=width, num_warps=4,
            )  # fmt: skip

    def _splits(self, members: int) -> int:
        """Number of programs that `members` heads divide their keys among: selected ones, then sink and window."""
        config = self.config
        recent = config.sink + config.window + config.refresh_interval - 1
        splits: int = triton.cdiv(members * config.top_k, CHUNK) + triton.cdiv(recent, CHUNK)
        return splits


def rotate_row(
    query: Tensor, tables: tuple[Tensor, Tensor], offset: int, length: Tensor, since: Tensor | None = None
) -> Tensor:
    """Query [B, Hq, 1, D] rotated to position `length` + `offset`, or `length` - `since` + `offset`.

    `length` and `since` are int32 [1] on the device; `tables` as for `DecodeState.attend`.
    """
    batch, heads, _, dim = query.shape
    output = torch.empty(batch, heads, 1, dim, dtype=query.dtype, device=query.device)
    with torch.cuda.device_of(query):
        _rotate_row[(heads, batch)](
            query, output, *tables, offset, length, length if since is None else since, *query.stride()[:2],
            *output.stride()[:2], SIZE=dim // 2, WIDTH=triton.next_power_of_2(dim // 2), SINCE=since is not None,
            num_warps=1,
        )  # fmt: skip
    return output


def descend(query: Tensor, tree: Tensor, length: Tensor, config: HipConfig, chosen: Tensor, scores: Tensor) -> None:
    """Select key blocks for query [B, Hq, 1, D], the last of `length` int32 [1] keys, into int32 [B, Hq, K].

    `scores` float32 [B, Hq, >= SCORED and twice the next power of two of K] is memory to work in.
    """
    batch, heads, _, dim = query.shape
    children = scores.shape[2]
    _descend[(heads, batch)](
        query, tree, chosen, scores, length, *query.stride()[:2], *tree.stride()[:2],
        GROUP=heads // tree.shape[1], BUDGET=config.selected_blocks, CHILDREN=children, SCORED=SCORED,
        BLOCK_K=config.block_k, SINK=config.sink, WINDOW=config.window, SIZE=dim, WIDTH=triton.next_power_of_2(dim),
        num_warps=8,
    )  # fmt: skip


@triton.jit(do_not_specialize=["offset"])
def _rotate_row(
    query, output, cosine, sine, offset, length, since, sqb, sqh, sob, soh,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, SINCE: tl.constexpr,
):  # fmt: skip
    head, batch = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    dim = tl.arange(0, WIDTH)
    inside = dim < SIZE
    position = tl.load(length) + offset
    if SINCE:
        position -= tl.load(since)
    angle = position.to(tl.int64) * SIZE + dim
    cos = tl.load(cosine + angle, mask=inside, other=0.0).to(tl.float32)
    sin = tl.load(sine + angle, mask=inside, other=0.0).to(tl.float32)
    at = query + batch * sqb + head * sqh + dim
    first = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(at + SIZE, mask=inside, other=0.0).to(tl.float32)
    out = output + batch * sob + head * soh + dim
    tl.store(out, (first * cos - second * sin).to(output.dtype.element_ty), mask=inside)
    tl.store(out + SIZE, (second * cos + first * sin).to(output.dtype.element_ty), mask=inside)


@triton.jit
def _child(chosen, entry, level, count, BUDGET: tl.constexpr):
    """Children of the kept nodes, of which entry i of the next level is one, and which of them exist."""
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

    Kept nodes lie in `chosen` and their children's scores in `scores`: registers do not hold all that is compared.
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
def _share(chosen, shared, GROUP: tl.constexpr, SELECTED: tl.constexpr, SLOTS: tl.constexpr):
    """Copy what a head selected, with -1 for each block that an earlier head of its group selected too.

    Lists ascend: a block is looked for in the earlier ones by halving.
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


@triton.jit
def _load(at, here, row, side, inside, scales, spread, centre, CODED: tl.constexpr, like: tl.constexpr):
    """Numbers at the addresses `at` [n, m], or if CODED what the codes there stand for: see `quantized.Codes`.

    row [n, 1] and side [1, m] are where the scales of the rows, and spread and centre of their dimensions, lie.
    """
    x = tl.load(at, mask=here & inside, other=0)
    if CODED:
        scale = tl.load(scales + row, mask=here, other=0.0).to(tl.float32)
        width = tl.load(spread + side, mask=inside, other=0.0).to(tl.float32)
        x = (x.to(tl.float32) * scale * width + tl.load(centre + side, mask=inside, other=0.0).to(tl.float32)).to(like)
    return x


@triton.jit
def _attend_split(
    query, key, value, chosen, totals, norms, length, refreshed, cosine, sine,
    key_scales, key_spread, key_centre, value_scales, value_spread, value_centre, scale,
    sqb, sqh, skb, skh, skt, svb, svh, svt,
    GROUP: tl.constexpr, MEMBERS: tl.constexpr, ROWS: tl.constexpr, GATHERED: tl.constexpr, BLOCK_K: tl.constexpr,
    SINK: tl.constexpr, WINDOW: tl.constexpr, SPLITS: tl.constexpr, CHUNK: tl.constexpr, SIZE: tl.constexpr,
    WIDTH: tl.constexpr, SIZE_V: tl.constexpr, WIDTH_V: tl.constexpr, ROTATE: tl.constexpr, PACKED: tl.constexpr,
    CODED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """MEMBERS heads of a group attend to CHUNK keys: of all blocks they selected, which are GATHERED keys one list
    after the other, or of sink and window, which then has grown since the refresh.

    If ROTATE, SIZE is that of half a key.
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
    # Codes are contiguous: a row's number is its place divided by its width, and that of its head is found likewise.
    row_k, side_k = first_key // skt + token, first_key // skh * skt + dim[None, :]
    q = tl.load(queries, mask=present & inside, other=0.0)
    k = _load(keys, here, row_k, side_k, inside, key_scales, key_spread, key_centre, CODED, like)
    dim_v = tl.arange(0, WIDTH_V)
    inside_v = (dim_v < SIZE_V)[None, :]
    first_value = batch * svb + head_k * svh
    values = value + first_value + token * svt + dim_v[None, :]
    row_v, side_v = first_value // svt + token, first_value // svh * svt + dim_v[None, :]
    if PRECISION != "ieee":  # both loads under way at once, but float32 needs the shared memory of keys for values
        v = _load(values, here, row_v, side_v, inside_v, value_scales, value_spread, value_centre, CODED, like)
    if ROTATE:
        other_q = tl.load(queries + SIZE, mask=present & inside, other=0.0)
        other_k = _load(
            keys + SIZE, here, row_k, side_k + SIZE, inside, key_scales, key_spread, key_centre, CODED, like
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
        v = _load(values, here, row_v, side_v, inside_v, value_scales, value_spread, value_centre, CODED, like)
    total = tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
    at = (batch * tl.num_programs(1) * MEMBERS + head) * SPLITS + split
    tl.store(totals + at[:, None] * SIZE_V + dim_v[None, :], total, mask=present & inside_v)
    tl.store(norms + 2 * at, peak, mask=row < MEMBERS)
    tl.store(norms + 2 * at + 1, tl.sum(p, 1), mask=row < MEMBERS)


@triton.jit
def _merge_splits(
    totals, norms, output, sob, soh,
    SPLITS: tl.constexpr, SLOTS: tl.constexpr, SIZE_V: tl.constexpr, WIDTH_V: tl.constexpr,
):  # fmt: skip
    """Add up what a head's programs found, for WIDTH_V of SIZE_V dimensions, each part weighed by its own peak."""
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
