"""The product's tree search down to 16-token nodes, then exact logits that split them into smaller blocks.

An experiment on what the last step of selection is worth: twice as many keys as may be selected are compared one by
one with the rows of the query block, and the best blocks of `block_k` tokens are kept.
"""

from dataclasses import replace

import torch
from hip_attention.config import HipConfig
from hip_attention.plan import Slab, searchable_blocks
from hip_attention.torch_backend.select import select
from hip_attention.torch_backend.summaries import KeySummaries
from torch import Tensor

from hipcli.evaluation.baselines import Chooser, block_attention

NODE = 16  # tokens of a node where statistics end
BEAM = 2  # candidates for every key that may be selected


def choose(query: Tensor, part: Slab, key: Tensor, summaries: KeySummaries, config: HipConfig) -> Tensor:
    """Blocks int64 [B, Hq, part.blocks, selected_blocks], ascending; query [B, Hq, Tq, D], key [B, Hkv, Tk, D]."""
    batch, heads, _, dim = query.shape
    coarse = replace(config, block_k=NODE, top_k=BEAM * config.top_k, selector="summary")
    last = range(part.first + part.rows - 1, part.first + part.rows * part.blocks, part.rows)
    count, fine = (
        torch.tensor([searchable_blocks(p, config.sink, config.window, size) for p in last], device=query.device)
        for size in (NODE, config.block_k)
    )
    first = config.sink // NODE
    if int(count.min()) > coarse.selected_blocks:
        nodes = select(query, part, coarse, summaries, None) - first
    else:
        nodes = torch.arange(max(int(count.max()), coarse.selected_blocks), device=query.device)
        nodes = nodes.expand(batch, heads, part.blocks, -1)
    tokens = config.sink + (nodes[..., None] * NODE + torch.arange(NODE, device=query.device)).flatten(3)
    tokens = tokens.clamp(max=key.shape[2] - 1)  # [B, Hq, n, candidates]
    grouped = key.repeat_interleave(heads // key.shape[1], 1)
    candidates = grouped.gather(2, tokens.flatten(2)[..., None].expand(-1, -1, -1, dim)).unflatten(2, tokens.shape[2:])
    rows = query[:, :, part.start : part.stop].unflatten(2, (part.blocks, part.rows))
    logits = (rows @ candidates.transpose(3, 4)).amax(3)  # [B, Hq, n, candidates]
    per_node = NODE // config.block_k
    scores = logits.unflatten(3, (-1, config.block_k)).amax(4)
    blocks = (nodes[..., None] * per_node + torch.arange(per_node, device=query.device)).flatten(3)
    scores = scores.masked_fill(blocks >= fine[:, None], -torch.inf)
    best = scores.topk(config.selected_blocks, 3, sorted=False).indices
    return blocks.gather(3, best).sort(3).values + config.sink // config.block_k


def prepare(key: Tensor, config: HipConfig) -> Chooser:
    """Summaries of key [B, Hkv, Tk, D], and a search in them."""
    summaries = KeySummaries(config.sink, NODE)
    summaries.extend(key[:, :, config.sink :])
    return lambda query, part: choose(query, part, key, summaries, config)


attention = block_attention(prepare)
