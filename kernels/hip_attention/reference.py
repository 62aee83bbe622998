"""HiP attention, plain and slow: the oracle every backend is tested against.

Positions count keys from 0; row r of Tq queries over Tk keys stands at position Tk - Tq + r. Query blocks are aligned
to absolute positions (block i holds positions [i * block_q, (i + 1) * block_q)), so that a prompt read in chunks gives
the masks of a prompt read at once.

A row at position p with window w attends to three disjoint sets, which together are all causal keys when every block
is selected:
    sink      key < sink              and key <= p - w
    selected  sink <= key <= p - w    and the key's block is selected
    window    p - w < key <= p
A query block may select from the key blocks of [sink, last row's position - w].

Past `packed_from` positions are packed. A query block numbers what it sees consecutively: sink, selected blocks in
document order, window. A key's packed position is its number; a query's is that of its own key.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from hip_attention.config import HipConfig

# rotate(x [T, D], positions int64 [T]) -> [T, D]: RoPE of each row at its position
Rotate = Callable[[Tensor, Tensor], Tensor]


def query_blocks(length_q: int, length_k: int, block_q: int) -> Iterator[tuple[int, int]]:
    """Row ranges [start, stop) of the query blocks that Tq queries at the end of Tk keys fall into."""
    first = length_k - length_q
    start = 0
    while start < length_q:
        stop = min(length_q, ((first + start) // block_q + 1) * block_q - first)
        yield start, stop
        start = stop


def searchable(last_position: int, config: HipConfig) -> tuple[int, int]:
    """Key blocks [low, high) from which the query block that ends at `last_position` selects."""
    low = config.sink // config.block_k
    high = math.ceil(max(0, last_position - config.window + 1) / config.block_k)
    return low, max(low, high)


def select(query: Tensor, key: Tensor, config: HipConfig) -> Tensor:
    """Choose key blocks for every query block (HiP, arXiv 2406.09827, section 3).

    query [B, Hq, Tq, D], key [B, Hkv, Tk, D]. Returns int64 [B, Hq, query blocks, selected_blocks], ascending block
    numbers, padded with -1 where fewer blocks are searchable than may be selected.
    """
    batch, heads_q, length_q, _ = query.shape
    heads_k, length_k = key.shape[1:3]
    rows = list(query_blocks(length_q, length_k, config.block_q))
    budget = config.selected_blocks
    chosen = torch.full((batch, heads_q, len(rows), budget), -1, dtype=torch.int64)
    search = search_summary if config.uses_summaries else search_representative
    if config.selector == "exhaustive":
        search = search_everything
    for i, (start, stop) in enumerate(rows):
        low, high = searchable(length_k - length_q + stop - 1, config)
        for b in range(batch):
            for h in range(heads_q):
                if budget == 0 or high - low <= budget:
                    blocks = list(range(low, high))[:budget]
                else:
                    scored = query[b, h, start:stop].flip(0)[:: config.query_stride].float()
                    blocks = search(scored, key[b, h * heads_k // heads_q].float(), low, high, config)
                chosen[b, h, i, : len(blocks)] = torch.tensor(sorted(blocks), dtype=torch.int64)
    return chosen


def search_summary(query: Tensor, key: Tensor, low: int, high: int, config: HipConfig) -> list[int]:
    """Descend a binary tree over the blocks [low, high), keeping the best nodes of every level.

    query [rows, D], key [Tk, D]. Node i of level l holds the 2^l blocks from low + i * 2^l on. Its score is the
    expected largest logit of a row among its n keys, taken as Gaussian with their mean m and variance s2:
    q.m + sqrt(2 ln n) * sqrt(q^2 . s2), maximised over the rows. The statistics of a node that reaches past `high`
    would include later keys; it is kept, without a score, until its children are inside.

    With exact leaves twice as many nodes are kept at every level but the last, where rows vote for the blocks: a row's
    vote for a block is the softmax, over the blocks that are left, of its largest logit there (scaled by D^-0.5,
    whatever scale attention uses), and a block's score is the sum of its votes. With a maximum over rows instead, one
    row with large logits could take the whole budget.
    """
    count, budget = high - low, config.selected_blocks
    scale = query.shape[1] ** -0.5
    level = max(1, math.ceil(math.log2(count / config.kept_nodes)))
    nodes = list(range(math.ceil(count / 2**level)))
    while level > 0:
        level -= 1
        children = [child for node in nodes for child in (2 * node, 2 * node + 1) if child << level < count]
        scores, largest = [], []
        for child in children:
            begin = (low + (child << level)) * config.block_k
            size = config.block_k << level
            if (child + 1) << level > count:
                scores.append(math.inf)
                continue
            keys = key[begin : begin + size]
            if level == 0 and config.exact_leaves:
                largest.append((query @ keys.T).amax(1))
                continue
            mean, variance = keys.mean(0), keys.var(0, unbiased=False)
            spread = math.sqrt(2 * math.log(max(size, 2))) * (query**2 @ variance).sqrt()
            scores.append((query @ mean + spread).max().item())
        if largest:
            scores = (torch.stack(largest, 1) * scale).softmax(1).sum(0).tolist()
        kept = config.kept_nodes if level else budget
        best = torch.tensor(scores).topk(min(kept, len(children))).indices.tolist()
        nodes = sorted(children[i] for i in best)
    return [low + node for node in nodes]


def search_everything(query: Tensor, key: Tensor, low: int, high: int, config: HipConfig) -> list[int]:
    """The blocks of [low, high) with the largest logits. query [rows, D], key [Tk, D]."""
    logits = (query @ key.T).amax(0)
    scores = torch.stack([part.max() for part in logits[low * config.block_k :].split(config.block_k)[: high - low]])
    return (low + scores.topk(config.selected_blocks).indices).tolist()


def search_representative(query: Tensor, key: Tensor, low: int, high: int, config: HipConfig) -> list[int]:
    """Halve `selected_blocks` groups of blocks until each is one block, scoring a half by one block of its keys.

    query [rows, D], key [Tk, D]. The groups partition [low, high); a round keeps the best `selected_blocks` halves by
    the largest logit between any scored row and the half's representative block (centre or first).
    """
    count, budget = high - low, config.selected_blocks
    edges = [low + j * count // budget for j in range(budget + 1)]
    groups = [(start, stop - start) for start, stop in pairwise(edges)]
    while max(size for _, size in groups) > 1:
        halves = []
        for start, size in groups:
            first = (size + 1) // 2
            halves += [half for half in ((start, first), (start + first, size - first)) if half[1] > 0]
        scores = []
        for start, size in halves:
            block = start if config.selector == "representative-first" else start + size // 2
            keys = key[block * config.block_k : (block + 1) * config.block_k]
            scores.append((query @ keys.T).max().item())
        best = torch.tensor(scores).topk(min(budget, len(halves))).indices.tolist()
        groups = [halves[i] for i in best]
    return [start for start, _ in groups]


def visible(blocks: Tensor, position: int, length_k: int, window: int, config: HipConfig) -> Tensor:
    """Which keys the row at `position` attends to, given its selected blocks [selected]: bool [Tk]."""
    key = torch.arange(length_k)
    old = key <= position - window
    chosen = torch.isin(key // config.block_k, blocks[blocks >= 0])
    return (old & (key < config.sink)) | (old & (key >= config.sink) & chosen) | (~old & (key <= position))


def is_packed(last_position: int, config: HipConfig) -> bool:
    """Whether the query block that ends at `last_position` sees keys at packed positions.

    While all keys are visible, packed positions equal true ones, so such a block attends exactly, at true positions.
    """
    return config.packed_from is not None and last_position >= max(config.packed_from, config.visible_keys)


def packed_positions(position: int, blocks: Tensor, length_k: int, config: HipConfig, age: int | None) -> Tensor:
    """Packed positions of all keys for the row at `position`: int64 [Tk], meaningful for visible keys only.

    With K selected keys and window w: a sink key keeps its position; the u-th key of the selected `blocks` [selected]
    gets sink + u; a key j of the window, like the row itself, gets sink + K + j - base. In prefill, base is the start
    of a key block, floor((first position of the query block - w + 1) / block_k) block_k, so that rows of a query block
    agree and chunks do not matter. In decode, `age` steps after the selection, base = refreshed - w, where `refreshed`
    is the number of keys at the selection.
    """
    blocks = blocks[blocks >= 0]
    selected = len(blocks) * config.block_k
    if age is None:
        begin = position // config.block_q * config.block_q
        base = (begin - config.window + 1) // config.block_k * config.block_k
        oldest = position - config.window + 1
    else:
        base = oldest = position + 1 - age - config.window
    key = torch.arange(length_k)
    place = config.sink + selected + key - base
    chosen = (blocks[:, None] * config.block_k + torch.arange(config.block_k)).flatten()
    chosen_place = config.sink + torch.arange(selected)
    old = chosen < min(oldest, length_k)
    place[chosen[old]] = chosen_place[old]
    sink = min(config.sink, oldest)
    place[:sink] = torch.arange(sink)
    return place


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor,
    config: HipConfig,
    scale: float,
    age: int | None = None,
    rotate: Rotate | None = None,
) -> Tensor:
    """Softmax attention over sink, selected and window keys.

    query [B, Hq, Tq, D], key and value [B, Hkv, Tk, D], blocks as `select` returns them. `age` is the number of decode
    steps since the blocks were selected, None in prefill; the window still begins where it began at the selection, so
    that no key is lost. In decode at true positions a query head sees what any head of its GQA group selected. Query
    blocks that end before min_context attend to all keys, unless they are packed. With `rotate`, query and key are
    given before RoPE, which is applied at true or packed positions. Returns [B, Hq, Tq, D] in the query's dtype.
    """
    batch, heads_q, length_q, _ = query.shape
    heads_k, length_k = key.shape[1:3]
    output = torch.empty(*query.shape[:3], value.shape[-1], dtype=query.dtype)
    for i, (start, stop) in enumerate(query_blocks(length_q, length_k, config.block_q)):
        last = length_k - length_q + stop - 1
        packed = is_packed(last, config)
        for row in range(start, stop):
            position = length_k - length_q + row
            for b in range(batch):
                for h in range(heads_q):
                    places = torch.arange(length_k)
                    hk = h * heads_k // heads_q
                    seen = blocks[b, h, i]
                    if age is not None and not packed:
                        seen = blocks[b, :, i].unflatten(0, (heads_k, -1))[hk].flatten()
                    if last < config.min_context and not packed:
                        mask = torch.arange(length_k) <= position
                    else:
                        mask = visible(seen, position, length_k, config.window + (age or 0), config)
                    if packed:
                        places = packed_positions(position, seen, length_k, config, age)
                    q, k = query[b, h, row], key[b, hk, mask]
                    if rotate is not None:
                        q, k = rotate(q[None], places[position : position + 1])[0], rotate(k, places[mask])
                    logits = (k.float() @ q.float()) * scale
                    output[b, h, row] = (logits.softmax(0) @ value[b, hk, mask].float()).to(output.dtype)
    return output


def search_query(query: Tensor, config: HipConfig, rotate: Rotate) -> Tensor:
    """Queries [B, Hq, Tq, D] as `select` compares them with keys before RoPE: all rotated to one distance."""
    distance = torch.full((query.shape[2],), config.search_distance)
    return torch.stack([torch.stack([rotate(head, distance) for head in heads]) for heads in query])


def attention(
    query: Tensor, key: Tensor, value: Tensor, config: HipConfig, scale: float, rotate: Rotate | None = None
) -> Tensor:
    """`select`, then `attend`. Where `packed_from` is set, selection is by content, and `rotate` is needed."""
    searched = query
    if config.packed_from is not None:
        assert rotate is not None
        searched = search_query(query, config, rotate)
    return attend(query, key, value, select(searched, key, config), config, scale, rotate=rotate)
