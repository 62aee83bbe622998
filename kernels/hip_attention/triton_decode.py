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
from hip_attention.config import HipConfig
from hip_attention.triton_common import searchable, spread_factor
from hip_attention.triton_ranking import RANKED_SLOTS, keep_best, pack
from hip_attention.triton_representative import search_one
from hip_attention.triton_summaries import TreeSummaries, tree_row

CHUNK = 64  # keys a program attends to


class DecodeState:
    """What decode remembers between tokens of one layer, all of it on the device.

    length: int32 [1], number of keys, the newest token's among them; the caller keeps it. refreshed: int32 [1], the
    length when blocks were selected. blocks: int32 [B, Hq, K], ascending. config: `config.of_decode`.
    """

    def __init__(self, config: HipConfig, batch: int, heads: int, dim_v: int, device: torch.device) -> None:
        self.config = config.of_decode
        self.length = torch.zeros(1, dtype=torch.int32, device=device)
        self.refreshed = torch.zeros(1, dtype=torch.int32, device=device)
        self.blocks = torch.zeros(batch, heads, config.selected_blocks, dtype=torch.int32, device=device)
        recent = config.sink + config.window + config.refresh_interval - 1
        splits = triton.cdiv(config.top_k, CHUNK) + triton.cdiv(recent, CHUNK)
        self._totals = torch.zeros(batch, heads, splits, dim_v, dtype=torch.float32, device=device)
        self._norms = torch.zeros(batch, heads, splits, 2, dtype=torch.float32, device=device)

    def refresh(self, query: Tensor, summaries: Summaries | None, key: Tensor | None) -> None:
        """Select blocks for query [B, Hq, 1, D], the newest token; arguments as those of `triton_select.select`."""
        self.refreshed.copy_(self.length)
        if not self.config.top_k:
            return
        with torch.cuda.device_of(query):
            if self.config.selector == "summary":
                assert isinstance(summaries, TreeSummaries)
                descend(query, summaries.nodes.data, self.length, self.config, self.blocks)
            else:
                assert key is not None
                search_one(query, key, self.length, self.config, self.blocks)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scale: float,
        output: Tensor,
        tables: tuple[Tensor, Tensor] | None = None,
        packed: bool = False,
    ) -> None:
        """Attention of query [B, Hq, 1, D] over sink, selected keys and all since the window of the refresh began.

        key and value [B, Hkv, capacity, D]; output [B, Hq, 1, D]. `tables` are cosine and sine [positions, D / 2] if
        keys are yet to be rotated: to their true positions, or if `packed` to their places in the row of sink,
        selected blocks and window. The query arrives rotated.
        """
        config = self.config
        batch, heads, splits, dim_v = self._totals.shape
        dim = query.shape[3]
        cosine, sine = tables if tables is not None else (query, query)
        with torch.cuda.device_of(query):
            _attend_split[(splits, heads, batch)](
                query, key, value, self.blocks, self._totals, self._norms, self.length, self.refreshed, cosine, sine,
                scale * 1.4426950408889634, *query.stride()[:2], *key.stride()[:3], *value.stride()[:3],
                GROUP=heads // key.shape[1], SELECTED=config.selected_blocks, BLOCK_K=config.block_k, SINK=config.sink,
                WINDOW=config.window, SPLITS=splits, CHUNK=CHUNK, SIZE=dim, WIDTH=triton.next_power_of_2(dim),
                SIZE_V=dim_v, WIDTH_V=triton.next_power_of_2(dim_v), ROTATE=tables is not None, PACKED=packed,
                num_warps=2,
            )  # fmt: skip
            _merge_splits[(heads, batch)](
                self._totals, self._norms, output, *output.stride()[:2],
                SPLITS=splits, SLOTS=triton.next_power_of_2(splits), SIZE_V=dim_v,
                WIDTH_V=triton.next_power_of_2(dim_v), num_warps=1,
            )  # fmt: skip


def descend(query: Tensor, tree: Tensor, length: Tensor, config: HipConfig, chosen: Tensor) -> None:
    """Select key blocks for query [B, Hq, 1, D], the last of `length` int32 [1] keys, into int32 [B, Hq, K]."""
    batch, heads, _, dim = query.shape
    slots = triton.next_power_of_2(config.selected_blocks)
    _descend[(1, heads, batch)](
        query, tree, chosen, length, *query.stride()[:2], *tree.stride()[:2],
        GROUP=heads // tree.shape[1], BUDGET=config.selected_blocks, SLOTS=slots, SORTED=slots > RANKED_SLOTS,
        BLOCK_K=config.block_k, SINK=config.sink, WINDOW=config.window, SIZE=dim, WIDTH=triton.next_power_of_2(dim),
        num_warps=16,
    )  # fmt: skip


@triton.jit
def _descend(
    query, tree, chosen, length_k, sqb, sqh, stb, sth,
    GROUP: tl.constexpr, BUDGET: tl.constexpr, SLOTS: tl.constexpr, SORTED: tl.constexpr,
    BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The whole search of one decoded token, one program a head; its number of keys is read from the device."""
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    dim = tl.arange(0, WIDTH)
    inside = dim < SIZE
    last = tl.load(length_k) - 1
    q = tl.load(query + batch * sqb + head * sqh + dim, mask=inside, other=0.0).to(tl.float32)
    tree += batch * stb + head // GROUP * sth
    count = searchable(last, SINK, WINDOW, BLOCK_K)
    level = 0
    while (BUDGET << level) < count:
        level += 1
    slot = tl.arange(0, SLOTS)
    node = tl.where((slot < BUDGET) & ((slot << level) < count), slot, -1)
    while level > 0:
        level -= 1
        child = tl.reshape(tl.join(2 * node, 2 * node + 1), [2 * SLOTS])
        valid = (child >= 0) & ((child << level) < count)
        whole = valid & (((child + 1) << level) <= count)
        at = tree + (tree_row(child, level).to(tl.int64) * (2 * SIZE))[:, None] + dim[None, :]
        mean = tl.load(at, mask=whole[:, None] & inside[None, :], other=0.0).to(tl.float32)
        variance = tl.load(at + SIZE, mask=whole[:, None] & inside[None, :], other=0.0).to(tl.float32)
        score = tl.sum(mean * q[None, :], 1)
        score += spread_factor(tl.log2(BLOCK_K * 1.0) + level) * tl.sqrt(tl.sum(variance * (q * q)[None, :], 1))
        place = keep_best(tl.where(whole, score, float("inf")), valid, BUDGET, SLOTS, SORTED)
        node = pack(child, place, SLOTS)
    pair = batch * tl.num_programs(1) + head
    tl.store(chosen + pair * BUDGET + slot, node + SINK // BLOCK_K, mask=slot < BUDGET)


@triton.jit
def _attend_split(
    query, key, value, chosen, totals, norms, length, refreshed, cosine, sine, scale,
    sqb, sqh, skb, skh, skt, svb, svh, svt,
    GROUP: tl.constexpr, SELECTED: tl.constexpr, BLOCK_K: tl.constexpr, SINK: tl.constexpr, WINDOW: tl.constexpr,
    SPLITS: tl.constexpr, CHUNK: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, SIZE_V: tl.constexpr,
    WIDTH_V: tl.constexpr, ROTATE: tl.constexpr, PACKED: tl.constexpr,
):  # fmt: skip
    """Attend to CHUNK keys: of the selected blocks, or of sink and window, which then has grown since the refresh."""
    split, head, batch = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    GATHERED: tl.constexpr = SELECTED * BLOCK_K
    CHUNKS: tl.constexpr = (GATHERED + CHUNK - 1) // CHUNK
    pair = batch * tl.num_programs(1) + head
    newest = tl.load(length)
    oldest = tl.load(refreshed) - WINDOW
    n = tl.arange(0, CHUNK)
    u = split * CHUNK + n
    w = u - CHUNKS * CHUNK
    token = tl.where(w < SINK, w, oldest + w - SINK)
    seen = (token >= 0) & (token < newest)
    if GATHERED > 0:
        slot = u // BLOCK_K
        block = tl.load(chosen + pair * SELECTED + slot, mask=slot < SELECTED, other=0)
        gathered = block * BLOCK_K + u % BLOCK_K
        seen = tl.where(split < CHUNKS, (u < GATHERED) & (gathered < oldest), seen)
        token = tl.where(split < CHUNKS, gathered, token)
    place = token
    if PACKED:
        place = tl.where(split < CHUNKS, SINK + u, tl.where(w < SINK, w, GATHERED + w))
    token = token.to(tl.int64)
    key += batch * skb + head // GROUP * skh
    value += batch * svb + head // GROUP * svh
    query += batch * sqb + head * sqh
    if ROTATE:
        HALF: tl.constexpr = SIZE // 2
        dim = tl.arange(0, WIDTH // 2)
        inside = dim < HALF
        here = seen[:, None] & inside[None, :]
        first = tl.load(query + dim, mask=inside, other=0.0).to(tl.float32)[None, :]
        second = tl.load(query + HALF + dim, mask=inside, other=0.0).to(tl.float32)[None, :]
        cos = tl.load(cosine + place[:, None] * HALF + dim[None, :], mask=here, other=0.0).to(tl.float32)
        sin = tl.load(sine + place[:, None] * HALF + dim[None, :], mask=here, other=0.0).to(tl.float32)
        at = key + token[:, None] * skt + dim[None, :]
        # Turning the query back by the key's angle equals turning the key.
        logits = tl.sum(tl.load(at, mask=here, other=0.0).to(tl.float32) * (first * cos + second * sin), 1)
        logits += tl.sum(tl.load(at + HALF, mask=here, other=0.0).to(tl.float32) * (second * cos - first * sin), 1)
    else:
        dim = tl.arange(0, WIDTH)
        inside = dim < SIZE
        q = tl.load(query + dim, mask=inside, other=0.0).to(tl.float32)[None, :]
        k = tl.load(key + token[:, None] * skt + dim[None, :], mask=seen[:, None] & inside[None, :], other=0.0)
        logits = tl.sum(k.to(tl.float32) * q, 1)
    dim_v = tl.arange(0, WIDTH_V)
    inside_v = dim_v < SIZE_V
    v = tl.load(value + token[:, None] * svt + dim_v[None, :], mask=seen[:, None] & inside_v[None, :], other=0.0)
    logits = tl.where(seen, logits * scale, float("-inf"))
    peak = tl.maximum(tl.max(logits, 0), -1.0e30)
    p = tl.math.exp2(logits - peak)
    place = pair * SPLITS + split
    tl.store(totals + place * SIZE_V + dim_v, tl.sum(v.to(tl.float32) * p[:, None], 0), mask=inside_v)
    tl.store(norms + 2 * place, peak)
    tl.store(norms + 2 * place + 1, tl.sum(p, 0))


@triton.jit
def _merge_splits(
    totals, norms, output, sob, soh,
    SPLITS: tl.constexpr, SLOTS: tl.constexpr, SIZE_V: tl.constexpr, WIDTH_V: tl.constexpr,
):  # fmt: skip
    head, batch = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    split = tl.arange(0, SLOTS)
    dim = tl.arange(0, WIDTH_V)
    place = (batch * tl.num_programs(0) + head) * SPLITS + split
    here = split < SPLITS
    peak = tl.load(norms + 2 * place, mask=here, other=-1.0e30)
    fade = tl.math.exp2(peak - tl.max(peak, 0))
    weight = tl.sum(fade * tl.load(norms + 2 * place + 1, mask=here, other=0.0), 0)
    inside = dim < SIZE_V
    parts = tl.load(totals + place[:, None] * SIZE_V + dim[None, :], mask=here[:, None] & inside[None, :], other=0.0)
    total = tl.sum(parts * fade[:, None], 0) / tl.where(weight > 0, weight, 1.0)
    tl.store(output + batch * sob + head * soh + dim, total.to(output.dtype.element_ty), mask=inside)
