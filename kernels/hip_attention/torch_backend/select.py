"""The selectors of `reference`, vectorised over heads and query blocks, a slab of query blocks at a time."""

import math

import torch
from torch import Tensor

from hip_attention.cache.buffer import Buffer
from hip_attention.config import HipConfig
from hip_attention.plan import Slab, searchable_blocks
from hip_attention.torch_backend.summaries import KeySummaries

# Bytes gathered at a time: few enough for the cache, many enough for few kernel launches.
GATHERED_CPU, GATHERED_GPU = 1 << 21, 1 << 28
# Logits of an exhaustive search at a time: few enough for the cache, many enough for few kernel launches.
EXHAUSTIVE_CPU, EXHAUSTIVE_GPU = 1 << 22, 1 << 24


def select(query: Tensor, slab: Slab, config: HipConfig, summaries: KeySummaries | None, key: Tensor | None) -> Tensor:
    """Choose key blocks for the query blocks of `slab`.

    query [B, Hq, Tq, D]; `summaries` serve the selectors that use them, `key` [B, Hkv, >= Tk, D] (whole blocks
    readable) those that read keys. Returns int64 [B, Hq, slab.blocks, selected_blocks], ascending. Query blocks must
    have more to search than they may select, unless `select_always`: then their own last block fills the rest.
    """
    parts = [slab] if config.selector == "exhaustive" else slab.split(_part_size(query, config))
    return torch.cat([_select_part(query, part, config, summaries, key) for part in parts], 2)


def _part_size(query: Tensor, config: HipConfig) -> int:
    """Query blocks at a time, so that the gathered candidates stay in the cache."""
    candidates = 2 * config.kept_nodes * (1 if config.uses_summaries else config.block_k)
    gathered = query.shape[0] * query.shape[1] * candidates * query.shape[3] * query.element_size()
    return max(1, _gathered(query) // gathered)


def _gathered(like: Tensor) -> int:
    return GATHERED_CPU if like.device.type == "cpu" else GATHERED_GPU


def _select_part(
    query: Tensor, slab: Slab, config: HipConfig, summaries: KeySummaries | None, key: Tensor | None
) -> Tensor:
    batch, heads, _, dim = query.shape
    rows = query[:, :, slab.start : slab.stop].unflatten(2, (slab.blocks, slab.rows))
    scored = rows[:, :, :, (slab.rows - 1) % config.query_stride :: config.query_stride]  # [B, Hq, n, r, D]
    last = range(slab.first + slab.rows - 1, slab.first + slab.rows * slab.blocks, slab.rows)
    found = [searchable_blocks(p, config.sink, config.window, config.block_k) for p in last]
    count = torch.tensor(found, device=query.device).expand(batch, heads, -1).reshape(-1, 1)  # [N, 1]
    if config.uses_summaries:
        assert summaries is not None
        nodes = _search_summary(scored, count, max(found), config, summaries, key)
    elif config.selector == "exhaustive":
        assert key is not None
        nodes = _search_everything(scored, count, max(found), config, key)
    else:
        assert key is not None
        nodes = _search_representative(scored.reshape(-1, scored.shape[3], dim), count, config, key)
    low = config.sink // config.block_k
    if config.select_always:  # a block in the window, which `attend` masks, fills the rest
        newest = torch.tensor([p // config.block_k - low for p in last], device=query.device)
        newest = newest.expand(batch, heads, -1).reshape(-1, 1)
        missing = newest.expand(-1, config.selected_blocks - nodes.shape[1])
        nodes = torch.cat((torch.where(nodes < count, nodes, newest), missing), 1)
    blocks = nodes.sort(-1).values + low
    return blocks.view(batch, heads, slab.blocks, -1)


def _search_summary(
    scored: Tensor, count: Tensor, largest: int, config: HipConfig, summaries: KeySummaries, key: Tensor | None
) -> Tensor:
    """Best leaves [N, selected_blocks] for N = B * Hq * n query blocks, of which block i has count[i] leaves.

    The first level that has to be searched holds at most twice the budget of nodes, the same ones for every query
    block, so one dense product scores them. Below it each query block gathers the children of the nodes it kept.
    """
    batch, _, _, rows, dim = scored.shape
    budget = config.selected_blocks
    level = max(0, math.ceil(math.log2(largest / config.kept_nodes)) - 1)
    query = scored.reshape(-1, rows, dim)  # [N, r, D]
    moments = _moments(query)
    nodes = torch.arange(-(-largest >> level), device=query.device).expand(query.shape[0], -1)
    while True:
        stored = summaries.levels[level]
        spread = math.sqrt(2 * math.log(max(config.block_k << level, 2)))
        if level == 0 and config.exact_leaves:
            assert key is not None
            scores = _leaf_scores(query, nodes, count, key, config)
        elif nodes.stride(0) == 0:
            present = min(nodes.shape[1], stored.length)
            scores = query.new_full(nodes.shape, math.inf)
            if present:
                shared = moments.reshape(batch, stored.data.shape[1], -1, 2 * dim)  # [B, Hkv, g * n * 2r, 2D]
                products = shared @ stored.data[:, :, :present].transpose(2, 3)
                scores[:, :present] = _expected_largest(products.view(-1, 2 * rows, present), spread)
        else:
            scores = _node_scores(moments, nodes, stored, spread)
        begin = nodes << level
        scores.masked_fill_(begin + (1 << level) > count, math.inf)
        scores.masked_fill_(begin >= count, -math.inf)
        kept = config.kept_nodes if level else budget
        if nodes.shape[1] > kept:
            nodes = nodes.gather(1, scores.topk(kept, 1, sorted=False).indices)
        if level == 0:
            return nodes
        level -= 1
        nodes = torch.stack((2 * nodes, 2 * nodes + 1), 2).flatten(1)


def _first_rows(pairs: int, stored: Tensor, per_head: int) -> Tensor:
    """First row of each pair's KV head, [N, 1], where every head of stored [B, Hkv, ...] has `per_head` rows."""
    heads = stored.shape[0] * stored.shape[1]
    return (torch.arange(pairs, device=stored.device) * heads // pairs * per_head)[:, None]


def _moments(query: Tensor) -> Tensor:
    """Rows [N, 2r, 2D] whose products with [mean | variance] are q.mean and q^2.variance, for query [N, r, D].

    So each node is gathered once for one product. Half of that is zeros, but gathering takes most of the time.
    """
    nothing = torch.zeros_like(query)
    return torch.cat((torch.cat((query, nothing), 2), torch.cat((nothing, query.square()), 2)), 1)


def _expected_largest(products: Tensor, spread: float) -> Tensor:
    """Scores [N, M] of nodes from their products [N, 2r, M] with `_moments`, which are partly overwritten."""
    logits, variances = products.chunk(2, 1)
    return torch.add(logits, variances.sqrt_(), alpha=spread).amax(1)


def _node_scores(moments: Tensor, nodes: Tensor, stored: Buffer, spread: float) -> Tensor:
    """Score nodes [N, M] for moments [N, 2r, 2D]: each pair gathers the statistics of its own nodes."""
    capacity, width = stored.data.shape[2:]
    row = _first_rows(nodes.shape[0], stored.data, capacity) + nodes.clamp(max=stored.length - 1)
    gathered = stored.data.view(-1, width).index_select(0, row.flatten()).view(*nodes.shape, width)
    return _expected_largest(moments @ gathered.transpose(1, 2), spread)


def _leaf_scores(query: Tensor, nodes: Tensor, count: Tensor, key: Tensor, config: HipConfig) -> Tensor:
    """Votes of the rows of query [N, r, D] for the key blocks in nodes [N, M], counted from the end of the sink.

    The votes of a row sum to one: they are the softmax of its largest logits in the blocks below count [N, 1].
    Returns float32 [N, M].
    """
    capacity, dim = key.shape[2:]
    block_k = config.block_k
    per_head = capacity // block_k
    row = _first_rows(nodes.shape[0], key, per_head) + (nodes + config.sink // block_k).clamp(max=per_head - 1)
    key_blocks = key.reshape(-1, block_k * dim)
    scores = query.new_empty(nodes.shape, dtype=torch.float32)
    beyond = (nodes >= count)[:, :, None]
    together = max(1, _gathered(key) // (nodes.shape[1] * block_k * dim * key.element_size()))
    for start in range(0, nodes.shape[0], together):
        part = slice(start, start + together)
        keys = key_blocks.index_select(0, row[part].flatten()).view(row[part].shape[0], -1, dim)
        best = _largest(keys @ query[part].transpose(1, 2), block_k).float().mul_(dim**-0.5)
        scores[part] = best.masked_fill_(beyond[part], -math.inf).softmax(1).sum(2)
    return scores


def _largest(logits: Tensor, block_k: int) -> Tensor:
    """Largest logits [n, M, r] of M key blocks, for logits [n, M * block_k, r].

    One half of a key block is compared with the other: those are long vectors, the rows of one key are a short one.
    """
    best: Tensor = logits.unflatten(1, (-1, block_k))
    while best.shape[2] > 1:
        half = (best.shape[2] + 1) // 2
        best = torch.maximum(best[:, :, :half], best[:, :, -half:])
    return best.squeeze(2)


def _search_everything(scored: Tensor, count: Tensor, largest: int, config: HipConfig, key: Tensor) -> Tensor:
    """Best blocks [N, selected_blocks], counted from the end of the sink, for scored [B, Hq, n, r, D]."""
    batch, heads, blocks, rows, dim = scored.shape
    block_k = config.block_k
    query = scored.reshape(batch, key.shape[1], -1, dim).transpose(2, 3)  # [B, Hkv, D, g * n * r]
    logits = EXHAUSTIVE_CPU if key.device.type == "cpu" else EXHAUSTIVE_GPU
    together = max(1, logits // (query[:, :, 0].numel() * block_k))
    scores = scored.new_empty(batch * heads * blocks, largest)
    by_head = scores.view(batch * key.shape[1], -1, largest)  # [B * Hkv, g * n, M]
    for start in range(0, largest, together):
        stop = min(start + together, largest)
        keys = key[:, :, config.sink + start * block_k : config.sink + stop * block_k]
        # keys @ query: with few rows, query @ keys takes up to ten times as long on a CPU.
        best = _largest((keys @ query).flatten(0, 1), block_k)  # [B * Hkv, m, g * n * r]
        by_head[:, :, start:stop] = best.unflatten(2, (-1, rows)).amax(3).transpose(1, 2)
    scores.masked_fill_(torch.arange(largest, device=key.device) >= count, -math.inf)
    return scores.topk(config.selected_blocks, 1, sorted=False).indices


def _search_representative(query: Tensor, count: Tensor, config: HipConfig, key: Tensor) -> Tensor:
    """Best blocks [N, selected_blocks], counted from the end of the sink, for query [N, r, D]."""
    capacity, dim = key.shape[2:]
    budget, block_k = config.selected_blocks, config.block_k
    key_blocks = key.reshape(-1, block_k * dim)
    per_head = capacity // block_k
    pairs = query.shape[0]
    head = _first_rows(pairs, key, per_head)
    edge = torch.arange(budget + 1, device=query.device) * count // budget
    start, size = edge[:, :-1], edge.diff(dim=1)
    while int(size.max()) > 1:
        first = (size + 1) // 2
        start = torch.cat((start, start + first), 1)
        size = torch.cat((first, size - first), 1)
        block = start if config.selector == "representative-first" else start + size // 2
        block = (block + config.sink // block_k).clamp(max=per_head - 1)
        keys = key_blocks.index_select(0, (head + block).flatten()).view(pairs, -1, dim)
        scores = (query @ keys.transpose(1, 2)).amax(1).unflatten(1, (-1, block_k)).amax(2)
        scores.masked_fill_(size == 0, -math.inf)
        best = scores.topk(budget, 1, sorted=False).indices
        start, size = start.gather(1, best), size.gather(1, best)
    return start
