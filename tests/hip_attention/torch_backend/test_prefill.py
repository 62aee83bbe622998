"""The torch backend against the oracle, on shapes that are multiples of nothing."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hip_attention import reference
from hip_attention.attention import attention, prefill, sliding_attention
from hip_attention.config import HipConfig, Selector
from hip_attention.plan import slabs, sparse_start
from hip_attention.torch_backend.select import select
from hip_attention.torch_backend.summaries import KeySummaries
from loud_row import LOUD, loud_row
from small_config import SMALL

pytestmark = pytest.mark.usefixtures("poison")


def tensors(batch=1, heads=4, heads_k=2, length_q=100, length_k=100, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    return (
        draw(batch, heads, length_q, dim),
        draw(batch, heads_k, length_k, dim),
        draw(batch, heads_k, length_k, dim),
    )


def dense(query, key, value):
    length_q, length_k = query.shape[2], key.shape[2]
    mask = torch.arange(length_k) <= torch.arange(length_k - length_q, length_k)[:, None]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)


SHAPES = [
    pytest.param(dict(length_q=100, length_k=100), id="one-shot"),
    pytest.param(dict(length_q=131, length_k=131, heads=3, heads_k=1), id="prime"),
    pytest.param(dict(length_q=37, length_k=150), id="chunk-misaligned"),
    pytest.param(dict(length_q=64, length_k=192), id="chunk-aligned"),
    pytest.param(dict(length_q=1, length_k=149), id="decode"),
    pytest.param(dict(length_q=5, length_k=5), id="tiny"),
    pytest.param(dict(length_q=100, length_k=100, batch=2, heads=8, heads_k=1), id="batch-mqa"),
    pytest.param(dict(length_q=90, length_k=203, heads=4, heads_k=4), id="mha"),
]
CONFIGS = [
    pytest.param(SMALL, id="plain"),
    pytest.param(replace(SMALL, query_stride=3), id="stride"),
    pytest.param(replace(SMALL, top_k=12), id="budget-not-a-power-of-two"),
    pytest.param(replace(SMALL, top_k=0), id="streaming"),
    pytest.param(replace(SMALL, sink=0, window=21), id="no-sink-odd-window"),
    pytest.param(replace(SMALL, window=8), id="smallest-window"),
    pytest.param(replace(SMALL, min_context=77), id="min-context"),
    pytest.param(replace(SMALL, block_k=2, block_q=32, window=32), id="paper-blocks"),
]


EXACT = replace(SMALL, selector="summary-exact")
VOTERS = [
    pytest.param(replace(EXACT, query_stride=3), id="stride"),
    pytest.param(replace(EXACT, block_q=16, query_stride=5, top_k=12), id="long-stride"),
    pytest.param(replace(EXACT, block_q=16, block_k=16, sink=16, top_k=32), id="long-leaves"),
    pytest.param(replace(EXACT, block_q=12, block_k=3, sink=9, top_k=9), id="leaves-of-three"),
    pytest.param(replace(EXACT, top_k=64), id="all-leaves-are-candidates"),
    pytest.param(replace(EXACT, top_k=4), id="one-block"),
]


@pytest.mark.parametrize("selector", get_args(Selector))
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_equals_reference(shape: dict, config: HipConfig, selector: Selector) -> None:
    query, key, value = tensors(**shape)
    config = replace(config, selector=selector)
    expected = reference.attention(query, key, value, config, 0.25)
    torch.testing.assert_close(attention(query, key, value, config, scale=0.25), expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("selector", get_args(Selector))
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_equal_reference(shape: dict, selector: Selector) -> None:
    query, key, _ = tensors(**shape)
    assert_blocks_equal_reference(query, key, replace(SMALL, selector=selector))


@pytest.mark.parametrize("config", VOTERS)
@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[2], SHAPES[6]])
def test_leaves_with_most_votes_equal_reference(shape: dict, config: HipConfig) -> None:
    query, key, _ = tensors(**shape)
    assert_blocks_equal_reference(query, key, config)


def assert_blocks_equal_reference(query, key, config):
    length_q, length_k = query.shape[2], key.shape[2]
    expected = reference.select(query, key, config)
    start = sparse_start(length_q, length_k, config)
    summaries = KeySummaries(config.sink, config.block_k)
    summaries.extend(key[:, :, config.sink :])
    padded = F.pad(key, (0, 0, 0, -length_k % config.block_k))
    parts = slabs(start, length_q, length_k, config.block_q)
    found = [select(query, slab, config, summaries, padded) for slab in parts]
    if found:
        blocks = torch.cat(found, 2)
        assert torch.equal(blocks, expected[:, :, -blocks.shape[2] :])
    else:
        assert start == length_q


def test_a_loud_row_does_not_take_the_whole_budget() -> None:
    query, key, block = loud_row()
    assert block in reference.select(query, key, LOUD)[0, 0, -1]
    assert_blocks_equal_reference(query, key, LOUD)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dim", [64, 96, 128, 256])
def test_everything_selected_is_dense(shape: dict, dim: int) -> None:
    query, key, value = tensors(**shape, dim=dim)
    config = replace(SMALL, top_k=256)
    torch.testing.assert_close(attention(query, key, value, config), dense(query, key, value), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_reference_with_everything_selected_is_dense(shape: dict) -> None:
    query, key, value = tensors(**shape)
    config = replace(SMALL, top_k=256)
    out = reference.attention(query, key, value, config, 0.25)
    torch.testing.assert_close(out, dense(query, key, value), atol=1e-5, rtol=1e-5)


def test_dense_backend_is_dense() -> None:
    query, key, value = tensors(length_q=37, length_k=150)
    out = attention(query, key, value, replace(SMALL, backend="dense"))
    torch.testing.assert_close(out, dense(query, key, value), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", [1, 7, 64])
def test_sliding_attention(shape: dict, window: int) -> None:
    query, key, value = tensors(**shape)
    position = torch.arange(key.shape[2] - query.shape[2], key.shape[2])[:, None]
    columns = torch.arange(key.shape[2])
    mask = (columns <= position) & (columns > position - window)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    out = sliding_attention(query, key, value, window, SMALL, query.shape[-1] ** -0.5)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("selector", ["summary", "summary-exact", "representative", "exhaustive"])
def test_chunks_of_whole_query_blocks_change_nothing(selector: Selector) -> None:
    query, key, value = tensors(length_q=256, length_k=256)
    config = replace(SMALL, selector=selector)
    whole = attention(query, key, value, config)
    parts = [
        attention(query[:, :, a : a + 64], key[:, :, : a + 64], value[:, :, : a + 64], config)
        for a in range(0, 256, 64)
    ]
    torch.testing.assert_close(torch.cat(parts, 2), whole, atol=1e-6, rtol=1e-6)


def test_no_row_sees_a_later_key() -> None:
    query, key, value = tensors(length_q=200, length_k=200)
    before = attention(query, key, value, SMALL)
    changed = 123
    key[:, :, changed:], value[:, :, changed:] = 9.0, -9.0
    after = attention(query, key, value, SMALL)
    block = changed // SMALL.block_q * SMALL.block_q
    assert torch.equal(before[:, :, :block], after[:, :, :block])
    assert not torch.equal(before[:, :, block:], after[:, :, block:])


def test_recall_of_the_heaviest_keys_is_far_above_chance() -> None:
    query, key, _ = tensors(heads=2, heads_k=2, length_q=64, length_k=2048, dim=32)
    key = (key + 2 * key[:, :, ::64].repeat_interleave(64, 2)) / 2  # neighbours resemble each other, as in real text
    config = replace(SMALL, top_k=128)
    chosen = reference.select(query, key, config)
    low, high = reference.searchable(2047, config)
    keys = key[:, :, low * 4 : high * 4]
    best = (query[:, :, -8:] @ keys.transpose(2, 3)).amax(2).topk(32, -1).indices // 4 + low
    hit = torch.stack([torch.isin(best[0, h], chosen[0, h, -1]).float().mean() for h in range(2)]).mean()
    assert hit > 4 * config.selected_blocks / (high - low)


def test_a_planted_key_is_found() -> None:
    query, key, _ = tensors(heads=1, heads_k=1, length_q=8, length_k=1024, dim=32)
    query[:] = query[:, :, :1]
    key[0, 0, 333] = 4 * query[0, 0, 0]
    assert 333 // SMALL.block_k in reference.select(query, key, SMALL)[0, 0, -1]


def test_shapes_that_do_not_fit_are_refused() -> None:
    query, key, value = tensors()
    with pytest.raises(ValueError, match="evenly"):
        attention(query[:, :3], key, value, SMALL)
    with pytest.raises(ValueError, match="cannot stand"):
        attention(query, key[:, :, :50], value[:, :, :50], SMALL)
    with pytest.raises(ValueError, match="dtypes"):
        attention(query.double(), key, value, SMALL)


def test_rows_that_search_nothing_need_no_summaries_of_this_backend() -> None:
    query, key, value = tensors(length_q=60, length_k=100)
    config = replace(SMALL, min_context=1000)
    out = prefill(query, key, value, 100, object(), config, 0.25)  # as when another backend made them
    torch.testing.assert_close(out, dense(query, key, value), atol=1e-5, rtol=1e-5)
