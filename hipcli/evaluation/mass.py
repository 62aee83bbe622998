"""Attention mass kept: which share of a row's dense attention falls on the keys that a spec lets it see."""

import torch
from hip_attention.config import HipConfig
from hip_attention.plan import Slab
from hip_attention.torch_backend import select as torch_select
from hip_attention.torch_backend.dense import dense_attention
from hip_attention.torch_backend.summaries import KeySummaries
from torch import Tensor

from hipcli.evaluation import baselines, hyper, leaves
from hipcli.evaluation.specs import Spec
from hipcli.evaluation.subject import Subject


@torch.inference_mode()
def masses(subject: Subject, spec: Spec, ids: list[int]) -> list[float] | None:
    """Mean mass of each sparse layer, over all heads and rows of the last whole query block of `ids`.

    States are those of dense attention, so that layers do not disturb each other. None where nothing is sparse, or
    where keys are not at their true positions.
    """
    config = spec.config
    whole = len(ids) // config.block_q * config.block_q
    first = whole - config.block_q
    if config.backend == "dense" or config.packed_from is not None:
        return None
    found: list[float] = []

    def attention(query: Tensor, key: Tensor, value: Tensor, config: HipConfig, scale: float) -> Tensor:
        if key.shape[2] == whole and query.shape[2] == config.block_q:
            found.append(mass(query, key, spec, scale))
        return dense_attention(query, key, value, scale)

    context = subject.context(spec, whole, attention)
    context.hidden(ids[:first])
    context.hidden(ids[first:whole])
    return [round(each, 4) for each in found] or None


def mass(query: Tensor, key: Tensor, spec: Spec, scale: float) -> float:
    """Mean share for the query block query [B, Hq, block_q, D] at the end of key [B, Hkv, Tk, D]."""
    length = key.shape[2]
    rows, group = query.shape[2], query.shape[1] // key.shape[1]
    position = torch.arange(length - rows, length, device=key.device)
    logits = (query @ key.repeat_interleave(group, 1).transpose(2, 3)).float() * scale
    logits.masked_fill_(torch.arange(length, device=key.device) > position[:, None], -torch.inf)
    return (logits.softmax(3) * visible(query, key, spec)).sum(3).mean().item()


def visible(query: Tensor, key: Tensor, spec: Spec) -> Tensor:
    """Which keys the rows see: bool [B, Hq, block_q, Tk]; later keys may be True too."""
    config, length, rows = spec.config, key.shape[2], query.shape[2]
    if spec.method == "hyper":
        return hyper.far_bias(hyper.codes(query), hyper.codes(key), length - rows, config) > -torch.inf
    slab = Slab(0, length - rows, rows, 1)
    token = torch.arange(length, device=key.device)
    seen = (token < config.sink) | (token > token[length - rows :, None] - config.window)
    seen = seen.expand(*query.shape[:2], rows, length)
    if not config.top_k:
        return seen
    if spec.method in baselines.ATTENTION:
        score = baselines.STATISTICS[spec.method](baselines.searchable_keys(key, config))
        blocks = baselines.choose(query, slab, score, key.shape[1], config)
    elif spec.method == "leaves":
        blocks = leaves.prepare(key, config)(query, slab)
    else:
        blocks = _product_choice(query, key, slab, config)
    chosen = torch.zeros(*query.shape[:2], -(-length // config.block_k), dtype=torch.bool, device=key.device)
    chosen.scatter_(2, blocks[:, :, 0], True)
    return seen | chosen.repeat_interleave(config.block_k, 2)[:, :, None, :length]


def _product_choice(query: Tensor, key: Tensor, slab: Slab, config: HipConfig) -> Tensor:
    """Blocks [B, Hq, 1, K] by the selector of the product, as the torch backend runs it on any device."""
    summaries = KeySummaries(config.sink, config.block_k)
    if config.uses_summaries:
        summaries.extend(key[:, :, config.sink :])
    padded = torch.nn.functional.pad(key, (0, 0, 0, -key.shape[2] % config.block_k)).contiguous()
    return torch_select.select(query, slab, config, summaries, padded)
