"""Other ways to choose key blocks, each scored exactly over all searchable blocks, with no tree and no state.

They attend with the product's own kernels to sink, window and the chosen blocks, so that only the choice differs.
Decode chooses again at every token: `refresh_interval` does not apply.
"""

from collections.abc import Callable

import torch
from hip_attention.backend import search_start, uses_triton
from hip_attention.cache.layer import SparseAttention
from hip_attention.config import HipConfig
from hip_attention.plan import Slab, searchable_blocks, slabs
from hip_attention.torch_backend import attend as torch_attend
from hip_attention.torch_backend.dense import dense_attention
from torch import Tensor

# (rows [B, Hkv, M, D], number of first blocks N) -> scores of these blocks [B, Hkv, M, N]
Score = Callable[[Tensor, int], Tensor]
# (query [B, Hq, Tq, D], slab) -> blocks int64 [B, Hq, slab.blocks, selected_blocks], ascending, none in the sink
Chooser = Callable[[Tensor, Slab], Tensor]

ELEMENTS = 1 << 28  # scores held at a time


def mean(keys: Tensor) -> Score:
    """Logit of the mean key of each block. keys [B, Hkv, blocks, block_k, D]."""
    means = keys.float().mean(3).to(keys.dtype)
    return lambda rows, blocks: rows @ means[:, :, :blocks].transpose(2, 3)


def quest(keys: Tensor) -> Score:
    """Upper bound of every logit in the block, from the least and largest key in each dimension (Quest,
    arXiv 2406.10774, section 3.2). keys [B, Hkv, blocks, block_k, D].
    """
    low, high = keys.amin(3), keys.amax(3)

    def score(rows: Tensor, blocks: int) -> Tensor:
        upper: Tensor = rows.clamp(min=0) @ high[:, :, :blocks].transpose(2, 3)
        upper += rows.clamp(max=0) @ low[:, :, :blocks].transpose(2, 3)
        return upper

    return score


def oracle(keys: Tensor) -> Score:
    """The largest logit in the block, which costs as much as dense attention. keys [B, Hkv, blocks, block_k, D]."""

    def score(rows: Tensor, blocks: int) -> Tensor:
        logits = rows @ keys[:, :, :blocks].flatten(2, 3).transpose(2, 3)
        best: Tensor = logits.unflatten(3, (blocks, -1)).amax(4)
        return best

    return score


def dense_start(query: Tensor, key: Tensor, value: Tensor, config: HipConfig, scale: float) -> tuple[Tensor, int]:
    """The output [B, Hq, Tq, D] with its first rows filled, which attend to everything, and how many these are.

    They are chosen by the rules that the product itself follows; decode is always sparse. query [B, Hq, Tq, D] at the
    end of key and value [B, Hkv, Tk, D].
    """
    length_q, length_k = query.shape[2], key.shape[2]
    rows = 0 if length_q == 1 else search_start(length_q, length_k, config, query.device)
    output = query.new_empty(*query.shape[:3], value.shape[3])
    if rows > 0:
        seen = length_k - length_q + rows
        output[:, :, :rows] = dense_attention(query[:, :, :rows], key[:, :, :seen], value[:, :, :seen], scale)
    return output, rows


def block_attention(prepare: Callable[[Tensor, HipConfig], Chooser]) -> SparseAttention:
    """Sparse attention to the blocks that `prepare` finds for key [B, Hkv, Tk, D]."""

    def attention(query: Tensor, key: Tensor, value: Tensor, config: HipConfig, scale: float) -> Tensor:
        length_q, length_k = query.shape[2], key.shape[2]
        output, start = dense_start(query, key, value, config, scale)
        if start == length_q:
            return output
        choose = prepare(key, config)
        if not uses_triton(config, query.device):  # PyTorch gathers whole blocks
            padding = -length_k % config.block_k
            key, value = (torch.nn.functional.pad(x, (0, 0, 0, padding)).contiguous() for x in (key, value))
        together = max(1, ELEMENTS // (query.shape[0] * query.shape[1] * config.block_q * length_k))
        for slab in slabs(start, length_q, length_k, config.block_q):
            for part in slab.split(together):
                blocks = choose(query, part) if config.top_k else None
                _attend(query, key, value, blocks, part, output, config, scale, length_k)
        return output

    return attention


def searchable_keys(key: Tensor, config: HipConfig) -> Tensor:
    """Whole key blocks after the sink: [B, Hkv, blocks, block_k, D] of key [B, Hkv, Tk, D]."""
    whole = key[:, :, config.sink : key.shape[2] // config.block_k * config.block_k]
    blocks: Tensor = whole.unflatten(2, (-1, config.block_k))
    return blocks


def by_score(make: Callable[[Tensor], Score]) -> Callable[[Tensor, HipConfig], Chooser]:
    """Take, of every query block's searchable blocks, those with the best scores."""

    def prepare(key: Tensor, config: HipConfig) -> Chooser:
        score = make(searchable_keys(key, config))
        return lambda query, part: choose(query, part, score, key.shape[1], config)

    return prepare


def choose(query: Tensor, part: Slab, score: Score, heads_k: int, config: HipConfig) -> Tensor:
    """The best blocks int64 [B, Hq, part.blocks, selected_blocks], ascending, for query [B, Hq, Tq, D].

    A block's score is that of the row that likes it best, among every query_stride-th row of the query block.
    """
    heads = query.shape[1]
    rows = query[:, :, part.start : part.stop].unflatten(2, (part.blocks, part.rows))
    rows = rows[:, :, :, (part.rows - 1) % config.query_stride :: config.query_stride]  # [B, Hq, n, r, D]
    last = range(part.first + part.rows - 1, part.first + part.rows * part.blocks, part.rows)
    count = [searchable_blocks(p, config.sink, config.window, config.block_k) for p in last]
    most = max(count)
    grouped = rows.unflatten(1, (heads_k, -1)).flatten(2, 4)
    scores = score(grouped, most).view(query.shape[0], heads, part.blocks, -1, most).amax(3)
    hidden = torch.arange(most, device=query.device) >= torch.tensor(count, device=query.device)[:, None]
    best = scores.masked_fill_(hidden, -torch.inf).topk(config.selected_blocks, 3, sorted=False).indices
    return best.sort(3).values + config.sink // config.block_k


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor | None,
    part: Slab,
    output: Tensor,
    config: HipConfig,
    scale: float,
    length_k: int,
) -> None:
    """Attend from the rows of `part` to sink, window and `blocks`, into output [B, Hq, Tq, D].

    query [B, Hq, Tq, D] stands at the end of `length_k` keys; key and value [B, Hkv, >= length_k, D]; blocks int64
    [B, Hq, part.blocks, K] or None.
    """
    if not uses_triton(config, query.device):
        torch_attend.attend(
            query, key, value, blocks, part, output,
            scale=scale, sink=config.sink, window=config.window, block_k=config.block_k,
        )  # fmt: skip
        return
    from hip_attention.triton_backend import attend

    with torch.cuda.device_of(query):
        attend.attend(
            query, key, value, None if blocks is None else blocks.int(), part.first, part.blocks, length_k, output,
            scale=scale, sink=config.sink, window=config.window, block_q=config.block_q, block_k=config.block_k,
        )  # fmt: skip


STATISTICS: dict[str, Callable[[Tensor], Score]] = {"mean": mean, "quest": quest, "oracle": oracle}
ATTENTION = {name: block_attention(by_score(make)) for name, make in STATISTICS.items()}
