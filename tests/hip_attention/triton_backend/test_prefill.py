"""The Triton backend against the oracle (see tests/triton_device.py)."""

from dataclasses import replace

import pytest
import small_config
import torch
import torch.nn.functional as F
from loud_row import LOUD, loud_row
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention import reference
from hip_attention.attention import attention, sliding_attention
from hip_attention.config import HipConfig, Selector
from hip_attention.plan import sparse_start
from hip_attention.triton_backend import leaves
from hip_attention.triton_backend import select as triton_select
from hip_attention.triton_backend.attend import attend
from hip_attention.triton_backend.select import select
from hip_attention.triton_backend.summaries import TreeSummaries

pytestmark = NEEDS_DEVICE

SMALL = replace(small_config.SMALL, block_q=16, backend="triton")
SHAPES = [
    pytest.param(dict(length_q=130, length_k=130), id="one-shot"),
    pytest.param(dict(length_q=23, length_k=150, heads=3, heads_k=1), id="chunk-misaligned"),
    pytest.param(dict(length_q=32, length_k=192), id="chunk-aligned"),
    pytest.param(dict(length_q=1, length_k=149), id="one-row"),
    pytest.param(dict(length_q=5, length_k=5), id="tiny"),
    pytest.param(dict(length_q=21, length_k=163, batch=2, heads=4, heads_k=1), id="batch-mqa"),
]
CONFIGS = [
    pytest.param(SMALL, id="plain"),
    pytest.param(replace(SMALL, query_stride=3), id="stride"),
    pytest.param(replace(SMALL, top_k=12), id="budget-not-a-power-of-two"),
    pytest.param(replace(SMALL, top_k=4), id="one-block"),
    pytest.param(replace(SMALL, top_k=0), id="streaming"),
    pytest.param(replace(SMALL, sink=0, window=21), id="no-sink-odd-window"),
    pytest.param(replace(SMALL, min_context=77), id="min-context"),
    pytest.param(replace(SMALL, block_q=24, block_k=12, top_k=24, sink=12, window=24), id="blocks-not-powers-of-two"),
    pytest.param(replace(SMALL, block_k=2, block_q=32, window=32), id="paper-blocks"),
]
# Every shape with the first configuration and every configuration with the second shape: compiling takes long.
CASES = [
    pytest.param(*shape.values, *config.values, id=f"{shape.id}-{config.id}")
    for shape in SHAPES
    for config in CONFIGS
    if config is CONFIGS[0] or shape is SHAPES[1]
]
EXACT = replace(SMALL, selector="summary-exact")
VOTERS = [
    pytest.param(replace(EXACT, query_stride=3, top_k=16), id="stride"),
    pytest.param(replace(EXACT, block_q=64, window=64, query_stride=3, top_k=12), id="odd-rows"),
    pytest.param(replace(EXACT, block_k=16, sink=16, top_k=32), id="long-leaves"),
    pytest.param(replace(EXACT, block_q=24, block_k=12, sink=12, window=24, top_k=24), id="leaves-of-twelve"),
    pytest.param(replace(EXACT, top_k=64), id="all-leaves-are-candidates"),
    pytest.param(replace(EXACT, top_k=4), id="one-block"),
]
SELECTORS = ["summary-exact", "representative", "representative-first"]


def tensors(batch=1, heads=4, heads_k=2, length_q=100, length_k=100, dim=16, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    return (
        draw(batch, heads, length_q, dim),
        draw(batch, heads_k, length_k, dim),
        draw(batch, heads_k, length_k, dim),
    )


@pytest.fixture(autouse=True)
def poison(monkeypatch):
    """Uninitialised memory is NaN, so that an output that is not written fails."""
    empty, new_empty = torch.empty, torch.Tensor.new_empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: nan(empty(*a, **k)))
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda self, *a, **k: nan(new_empty(self, *a, **k)))


def nan(tensor):
    return tensor.fill_(float("nan")) if tensor.is_floating_point() else tensor.fill_(-(1 << 30))


def run(query, key, value, config, scale):
    return attention(query.to(DEVICE), key.to(DEVICE), value.to(DEVICE), config, scale=scale).cpu()


def summarised(key, config, pieces=()):
    summaries = TreeSummaries(config.sink, config.block_k)
    for stop in (*pieces, key.shape[2]):
        summaries.extend(key[:, :, summaries.next_key : stop].to(DEVICE))
    return summaries


@pytest.mark.parametrize("shape,config", CASES)
def test_attention_equals_reference(shape: dict, config: HipConfig) -> None:
    query, key, value = tensors(**shape)
    expected = reference.attention(query, key, value, config, 0.25)
    torch.testing.assert_close(run(query, key, value, config, 0.25), expected, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("config", [CONFIGS[1], CONFIGS[2], CONFIGS[7]])
def test_other_selectors_equal_reference(config: HipConfig, selector: Selector) -> None:
    query, key, value = tensors(heads=2, length_q=21, length_k=163)
    config = replace(config, selector=selector)
    expected = reference.attention(query, key, value, config, 0.25)
    torch.testing.assert_close(run(query, key, value, config, 0.25), expected, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("dense_nodes,pairs", [(1, 4096), (4, 16), (16, 4096), (1024, 8)])
@pytest.mark.parametrize("shape", [SHAPES[5]])
@pytest.mark.parametrize("selector", ["summary", "summary-exact"])
def test_blocks_equal_reference_wherever_dense_scoring_ends(
    selector: Selector, shape: dict, dense_nodes: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_select, "DENSE_PAIRS", pairs)
    query, key, _ = tensors(**shape)
    assert_blocks_equal_reference(query, key, replace(SMALL, top_k=16, selector=selector), dense_nodes)


@pytest.mark.parametrize("config", VOTERS)
def test_leaves_with_most_votes_equal_reference(config: HipConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaves, "LARGEST", 3 * 1024)  # a few query blocks at a time, in parts
    monkeypatch.setattr(leaves, "VOTES", 128)
    query, key, _ = tensors(length_q=53, length_k=207)
    assert_blocks_equal_reference(query, key, config)


def test_a_loud_row_does_not_take_the_whole_budget() -> None:
    query, key, block = loud_row()
    assert block in assert_blocks_equal_reference(query, key, LOUD)[0, 0, -1]


def assert_blocks_equal_reference(query, key, config, dense_nodes=None):
    length_q, length_k = query.shape[2], key.shape[2]
    begin = length_k - length_q + sparse_start(length_q, length_k, config)
    count = -(-length_k // config.block_q) - begin // config.block_q
    found = select(
        query.to(DEVICE),
        begin,
        count,
        length_k,
        config,
        summarised(key, config),
        key.to(DEVICE),
        dense_nodes=dense_nodes,
    )
    assert count > 0
    assert torch.equal(found.cpu().long(), reference.select(query, key, config)[:, :, -count:])
    return found.cpu()


@pytest.mark.parametrize("shape,window", [(SHAPES[0], 7), (SHAPES[1], 64), (SHAPES[3], 1), (SHAPES[5], 33)])
def test_sliding_attention(shape: object, window: int) -> None:
    query, key, value = tensors(**shape.values[0])  # type: ignore[attr-defined]
    position = torch.arange(key.shape[2] - query.shape[2], key.shape[2])[:, None]
    columns = torch.arange(key.shape[2])
    mask = (columns <= position) & (columns > position - window)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    out = sliding_attention(query.to(DEVICE), key.to(DEVICE), value.to(DEVICE), window, SMALL, 0.25).cpu()
    torch.testing.assert_close(out, expected, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("dim", [64, 80, 96, 128, 256])
def test_everything_selected_is_dense(dim: int) -> None:
    query, key, value = tensors(length_q=16, length_k=128, dim=dim)
    blocks = torch.arange(2, 28, dtype=torch.int32, device=DEVICE).expand(1, 4, 1, -1).contiguous()
    out = torch.full_like(query, float("nan")).to(DEVICE)
    attend(
        query.to(DEVICE), key.to(DEVICE), value.to(DEVICE), blocks, 112, 1, 128, out,
        scale=dim**-0.5, sink=8, window=16, block_q=16, block_k=4,
    )  # fmt: skip
    mask = torch.arange(128) <= torch.arange(112, 128)[:, None]
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(out.cpu(), expected, atol=1e-5, rtol=1e-5)


# The interpreter's products of bfloat16 matrices are wrong.
@pytest.mark.parametrize("dtype", [torch.float16] if INTERPRETED else [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    query, key, value = tensors(length_q=60, length_k=170, dim=64, dtype=dtype)
    expected = reference.attention(query, key, value, SMALL, 0.125)
    found = run(query, key, value, SMALL, 0.125)
    assert ((found - expected).norm() / expected.norm()).item() < (2e-2 if dtype == torch.bfloat16 else 4e-3)


def test_tiles_of_a_large_query_block() -> None:
    query, key, value = tensors(heads=2, heads_k=1, length_q=300, length_k=700)
    config = replace(SMALL, block_q=192, window=192, query_stride=8, sink=32, top_k=64)
    expected = reference.attention(query, key, value, config, 0.25)
    torch.testing.assert_close(run(query, key, value, config, 0.25), expected, atol=5e-6, rtol=1e-5)


def test_large_scores_do_not_overflow_and_later_keys_do_not_leak() -> None:
    query, key, value = tensors(length_q=150, length_k=150)
    before = run(60 * query, key, value, SMALL, 1.0)
    torch.testing.assert_close(before, reference.attention(60 * query, key, value, SMALL, 1.0), atol=1e-4, rtol=1e-4)
    key[:, :, 100:], value[:, :, 100:] = 9.0, float("nan")
    assert torch.equal(before[:, :, :96], run(60 * query, key, value, SMALL, 1.0)[:, :, :96])


def test_summaries_in_pieces_are_means_and_variances_of_every_node() -> None:
    _, key, _ = tensors(length_k=203)
    key = key.transpose(1, 2).contiguous().transpose(1, 2)
    for pieces in ((), (9, 50, 51, 130)):
        summaries = summarised(key, SMALL, pieces)
        assert summaries.leaves == 48
        tree = summaries.nodes.data.cpu()
        for level in range(6):
            span = 4 << level
            nodes = 48 >> level
            keys = key[:, :, 8 : 8 + nodes * span].unflatten(2, (nodes, span))
            rows = tree[:, :, (1 << level) - 1 :: 2 << level][:, :, :nodes]
            torch.testing.assert_close(rows[..., :16], keys.mean(3))
            torch.testing.assert_close(rows[..., 16:], keys.var(3, unbiased=False))
    summaries.truncate(100)
    assert summaries.next_key == 8 + 23 * 4
