"""A LayerCache on the Triton backend against the oracle: chunks, decode steps, rewinds (see tests/triton_device.py)."""

from dataclasses import replace

import pytest
import small_config
import torch
from small_layers import small_rope
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention import reference
from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import Step
from hip_attention.triton_backend.decode import DecodeBuffers
from hip_attention.triton_backend.summaries import TreeSummaries

pytestmark = NEEDS_DEVICE

SMALL = replace(small_config.SMALL, backend="triton")


def tensors(length, heads=4, heads_k=2, dim=16):
    torch.manual_seed(1)
    return (
        torch.randn(1, heads, length, dim),
        torch.randn(1, heads_k, length, dim),
        torch.randn(1, heads_k, length, dim),
    )


def feed(cache, query, key, value, start, stop):
    rows = (x[:, :, start:stop].to(DEVICE) for x in (query, key, value))
    return cache.attend(*rows, Step(start, stop - start), scale=0.25).cpu()


@pytest.mark.parametrize("selector", ["summary", "representative"])
@pytest.mark.parametrize("blocks", [50, 100, 150])
def test_many_blocks_are_found(selector: str, blocks: int) -> None:
    query, key, _ = tensors(1400, heads=2, heads_k=1)
    config = replace(SMALL, selector=selector, top_k=4 * blocks)
    summaries = TreeSummaries(config.sink, config.block_k)
    summaries.extend(key[:, :, config.sink :].to(DEVICE))
    state = DecodeBuffers(config, 1, 2, 1, 16, torch.device(DEVICE))
    state.length.fill_(1400)
    state.refresh(query[:, :, -1:].to(DEVICE), summaries, key.to(DEVICE))
    expected = reference.select(query[:, :, -1:], key, config)[:, :, 0]
    assert torch.equal(state.blocks.cpu(), expected.int())


@pytest.mark.parametrize(
    "selector,rotary,top_k",
    [
        ("summary", False, 32),
        ("summary", True, 12),
        ("summary-exact", False, 32),
        ("representative", True, 32),
        ("summary", False, 0),
    ],
)
def test_decode_after_a_chunk_equals_reference(selector: str, rotary: bool, top_k: int) -> None:
    query, key, value = tensors(110)
    config = replace(SMALL, selector=selector, top_k=top_k)
    cache = LayerCache(config, rope=small_rope() if rotary else None)
    feed(cache, query, key, value, 0, 100)
    true_query, true_key = (small_rope().apply(x, 0) if rotary else x for x in (query, key))
    for _ in range(2):
        blocks = None
        for step in range(5):
            now = 100 + step
            out = feed(cache, query, key, value, now, now + 1)
            age = step % config.refresh_interval
            row, keys, values = true_query[:, :, now : now + 1], true_key[:, :, : now + 1], value[:, :, : now + 1]
            if age == 0:
                blocks = reference.select(row, keys, config.of_decode)
            expected = reference.attend(row, keys, values, blocks, config, 0.25, age)
            torch.testing.assert_close(out, expected, atol=5e-6, rtol=1e-5)
        cache.truncate(100)


SHAPES = [
    pytest.param(dict(group=1, dim=40), dict(top_k=36), id="no-group"),
    pytest.param(dict(group=3, dim=16, dim_v=48), dict(top_k=24, block_k=3, block_q=9, sink=9, window=17), id="odd"),
    pytest.param(dict(group=6, dim=96, dim_v=8), dict(top_k=32), id="many-chunks"),
    pytest.param(dict(group=17, dim=16, length=120), dict(top_k=8, refresh_interval=1), id="rows-of-two-tiles"),
    pytest.param(dict(group=3, dim=16), dict(top_k=8, sink=0, window=21), id="no-sink"),
    pytest.param(dict(group=6, dim=16), dict(top_k=0), id="streaming"),
]
if not INTERPRETED:
    FULL = dict(top_k=1024, block_q=128, block_k=16, sink=64, window=512, refresh_interval=8)
    SHAPES += [
        pytest.param(dict(group=4, dim=128, length=20000), FULL, id="full-size"),
        pytest.param(dict(group=6, dim=128, length=20000), {**FULL, "top_k": 2048}, id="many-splits"),
    ]


def draw_state(monkeypatch, config, group, dim, dim_v=None, length=400, dtype=torch.float32):
    """A state for two batches and KV heads, un-rotated tensors with room to spare, all unwritten memory NaN."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(torch.nan))
    generator = torch.Generator().manual_seed(group + dim)
    dim_v = dim if dim_v is None else dim_v
    shapes = ((2, 2 * group, 1, dim), (2, 2, length + 16, dim), (2, 2, length + 16, dim_v))
    query, key, value = (torch.randn(shape, generator=generator).to(DEVICE, dtype) for shape in shapes)
    state = DecodeBuffers(config, 2, 2 * group, 2, dim_v, query.device)
    state.length.fill_(length)
    return state, query, key, value, length


def visible(blocks, oldest, length, config):
    """Which of `length` keys those see that selected `blocks`: each key is seen, or not, however many selected it."""
    seen = torch.zeros(length, dtype=torch.bool)
    seen[: config.sink] = seen[oldest:] = True
    seen[(blocks.cpu().long().flatten()[:, None] * config.block_k + torch.arange(config.block_k)).flatten()] = True
    return seen


def check_steps(state, query, key, value, length, packed, error):
    """Every step until the next refresh, when keys and values that nobody may see are NaN."""
    config = state.config
    heads, group = query.shape[1], query.shape[1] // key.shape[1]
    for now in range(length, length + config.refresh_interval):
        state.length.fill_(now)
        poisoned = [x.clone() for x in (key, value)]
        expected = torch.empty(*query.shape[:3], value.shape[3])
        for b, h in torch.cartesian_prod(torch.arange(2), torch.arange(heads)).tolist():
            members = slice(h // group * group, (h // group + 1) * group)
            anyone = visible(state.blocks[b, members], length - config.window, now, config)
            for x in poisoned:
                x[b, h // group, :now][~anyone] = torch.nan
                x[b, h // group, now:] = torch.nan
            seen = visible(state.blocks[b, h], length - config.window, now, config) if packed else anyone
            keys, values = (x[b, h // group, :now].cpu().double()[seen] for x in (key, value))
            expected[b, h] = (query[b, h].cpu().double() @ keys.T * 0.25).softmax(-1) @ values
        out = torch.full_like(expected, torch.nan, dtype=query.dtype, device=DEVICE)
        state.attend(query, *poisoned, 0.25, out, packed=packed)
        torch.testing.assert_close(out.cpu().float(), expected, atol=error, rtol=error)


@pytest.mark.parametrize("packed", [False, True], ids=["true", "packed"])
@pytest.mark.parametrize("shape,changes", SHAPES)
def test_a_group_shares_what_its_heads_select(monkeypatch, shape: dict, changes: dict, packed: bool) -> None:
    config = replace(SMALL, **changes)
    state, query, key, value, length = draw_state(monkeypatch, config, **shape)
    twin = -min(2, shape["group"])
    query[:, -1] = query[:, twin]
    summaries = TreeSummaries(config.sink, config.block_k)
    summaries.extend(key[:, :, config.sink : length])
    state.refresh(query, summaries, None)
    assert torch.equal(state.blocks[:, -1], state.blocks[:, twin])
    check_steps(state, query, key, value, length, packed, 1e-5)


@pytest.mark.parametrize("packed", [False, True], ids=["true", "packed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16 if INTERPRETED else torch.bfloat16])
def test_heads_that_select_nothing_alike(monkeypatch, dtype: torch.dtype, packed: bool) -> None:
    """The last block reaches into the window, of which it must not count anything twice."""
    config = replace(SMALL, window=17)
    state, query, key, value, length = draw_state(monkeypatch, config, 3, 32, dtype=dtype)
    newest = (length - config.window) // config.block_k
    blocks = newest - torch.arange(6 * config.selected_blocks).reshape(6, -1) % (3 * config.selected_blocks)
    state.blocks.copy_(blocks.flip(1))
    state.refreshed.fill_(length)
    state.share()
    check_steps(state, query, key, value, length, packed, 1e-5 if dtype == torch.float32 else 2e-2)


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
@pytest.mark.parametrize("selector", ["summary", "representative"])
def test_steps_run_in_a_cuda_graph(selector: str) -> None:
    query, key, value = (x.to(DEVICE) for x in tensors(170))
    config = replace(SMALL, selector=selector)
    summaries = TreeSummaries(config.sink, config.block_k)
    summaries.extend(key[:, :, config.sink :])
    state = DecodeBuffers(config, 1, 4, 2, 16, query.device)
    row, out = query[:, :, :1].clone(), torch.empty(1, 4, 1, 16, device=DEVICE)

    def step():
        state.refresh(row, summaries, key)
        state.attend(row, key, value, 0.25, out)

    state.length.fill_(150)
    state.refreshed.fill_(150)
    step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for now in (151, 160, 170):
        state.length.fill_(now)
        row.copy_(query[:, :, now - 1 : now])
        out.fill_(float("nan"))
        graph.replay()
        keys, values = key[:, :, :now].cpu(), value[:, :, :now].cpu()
        blocks = reference.select(row.cpu(), keys, config)
        expected = reference.attend(row.cpu(), keys, values, blocks, config, 0.25, age=0)
        torch.testing.assert_close(out.cpu(), expected, atol=5e-6, rtol=1e-5)
