"""Exact leaves under the product's tree: the oracle's choice wherever the tree passes every candidate on."""

import pytest
import torch
from hip_attention.config import HipConfig
from hip_attention.plan import searchable_blocks, slabs

from hipcli.evaluation import baselines, leaves

SCALE = 8**-0.5


def tensors(length: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    return [torch.randn(1, heads, length, 8, generator=generator) for heads in (4, 2, 2)]


def config(block_k: int) -> HipConfig:
    return HipConfig(top_k=32, block_q=16, block_k=block_k, sink=16, window=16, min_context=0, query_stride=1)


@pytest.mark.parametrize("block_k", [4, 16])
def test_equals_the_oracle_while_candidates_are_all_there_is(block_k: int) -> None:
    query, key, value = tensors(96)
    found = leaves.attention(query, key, value, config(block_k), SCALE)
    expected = baselines.ATTENTION["oracle"](query, key, value, config(block_k), SCALE)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_far_blocks_are_few_and_within_reach() -> None:
    query, key, _ = tensors(400)
    settings = config(4)
    choose = leaves.prepare(key, settings)
    for slab in slabs(160, 400, 400, settings.block_q):
        blocks = choose(query, slab)
        assert blocks.shape == (1, 4, slab.blocks, 8)
        assert (blocks.diff(dim=3) > 0).all()
        assert blocks.min() >= 4
        for i in range(slab.blocks):
            reach = searchable_blocks(slab.first + (i + 1) * slab.rows - 1, 16, 16, 4)
            assert blocks[:, :, i].max() < 4 + reach
