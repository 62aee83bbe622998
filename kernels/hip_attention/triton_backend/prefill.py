"""Prefill with the Triton kernels: select, then attend, a bounded number of query blocks at a time."""

import torch
from torch import Tensor

from hip_attention.backend import Summaries
from hip_attention.config import HipConfig
from hip_attention.triton_backend.attend import attend
from hip_attention.triton_backend.select import select
from hip_attention.triton_backend.summaries import TreeSummaries

PAIRS = 1 << 13  # query blocks times heads at a time: bounds the memory for scores and masks


def prefill(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    start: int,
    length_k: int,
    summaries: Summaries | None,
    config: HipConfig,
    scale: float,
    output: Tensor,
    search_query: Tensor | None = None,
    tables: tuple[Tensor, Tensor] | None = None,
    packed: bool = False,
) -> None:
    """Sparse attention for the rows of query [B, Hq, Tq, D] from `start` on, written into `output` [B, Hq, Tq, D].

    The sparse part of `attention.prefill`. `search_query` [B, Hq, Tq, D] replaces `query` in the search; `tables` and
    `packed` are those of `attend.attend`.
    """
    assert summaries is None or isinstance(summaries, TreeSummaries)
    search_query = query if search_query is None else search_query
    query, search_query, key, value = (
        x if x.stride(3) == 1 else x.contiguous() for x in (query, search_query, key, value)
    )
    length_q, block_q = query.shape[2], config.block_q
    first = length_k - length_q + start
    stop = -(-length_k // block_q)
    together = max(1, PAIRS // (query.shape[0] * query.shape[1]))
    with torch.cuda.device_of(query):
        for block in range(first // block_q, stop, together):
            begin = max(first, block * block_q)
            count = min(together, stop - block)
            attend(
                query, key, value,
                select(search_query, begin, count, length_k, config, summaries, key) if config.top_k else None,
                begin, count, length_k, output, scale=scale,
                sink=config.sink, window=config.window, block_q=block_q, block_k=config.block_k,
                tables=tables, packed=packed, padded=config.select_always,
            )  # fmt: skip


def sliding(query: Tensor, key: Tensor, value: Tensor, window: int, config: HipConfig, scale: float) -> Tensor:
    """As `attention.sliding_attention`."""
    query, key, value = (x if x.stride(3) == 1 else x.contiguous() for x in (query, key, value))
    length_q, length_k = query.shape[2], key.shape[2]
    begin = length_k - length_q
    count = -(-length_k // config.block_q) - begin // config.block_q
    output = query.new_empty(*query.shape[:3], value.shape[3])
    with torch.cuda.device_of(query):
        attend(
            query, key, value, None, begin, count, length_k, output, scale=scale,
            sink=0, window=window, block_q=config.block_q, block_k=config.block_k,
        )  # fmt: skip
    return output
