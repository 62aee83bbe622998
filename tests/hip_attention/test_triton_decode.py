"""A LayerCache on the Triton backend against the oracle: chunks, decode steps, rewinds (see tests/triton_device.py)."""

from dataclasses import replace

import pytest
import small_config
import torch
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention import reference
from hip_attention.cache import LayerCache
from hip_attention.rotary import Rotary

pytestmark = NEEDS_DEVICE

SMALL = replace(small_config.SMALL, backend="triton")


def tensors(length, heads=4, heads_k=2, dim=16):
    torch.manual_seed(1)
    return (
        torch.randn(1, heads, length, dim),
        torch.randn(1, heads_k, length, dim),
        torch.randn(1, heads_k, length, dim),
    )


def tables(positions):
    angles = positions[..., None] * 1000.0 ** -(torch.arange(0, 16, 2, device=positions.device) / 16)
    angles = torch.cat((angles, angles), -1)
    return angles.cos(), angles.sin()


def feed(cache, query, key, value, start, stop):
    cache.append(key[:, :, start:stop].to(DEVICE), value[:, :, start:stop].to(DEVICE))
    return cache.attend(query[:, :, start:stop].to(DEVICE), 0.25).cpu()


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
    cache = LayerCache(config, rotary=Rotary(tables) if rotary else None)
    feed(cache, query, key, value, 0, 100)
    turned = (Rotary(tables).rotate(x, 0) if rotary else x for x in (query, key))
    true_query, true_key = turned
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


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
@pytest.mark.parametrize("selector", ["summary", "representative"])
def test_steps_run_in_a_cuda_graph(selector: str) -> None:
    from hip_attention.triton_decode import DecodeState
    from hip_attention.triton_summaries import TreeSummaries

    query, key, value = (x.to(DEVICE) for x in tensors(170))
    config = replace(SMALL, selector=selector)
    summaries = TreeSummaries(config.sink, config.block_k)
    summaries.nodes.grow(2 * 48, torch.empty(1, 2, 0, 32, device=DEVICE))
    summaries.extend(key[:, :, config.sink : 150])
    state = DecodeState(config, 1, 4, 16, query.device)
    row, out = query[:, :, :1].clone(), torch.empty(1, 4, 1, 16, device=DEVICE)

    def step():
        summaries.extend_on_device(key, state.length, state.refreshed)
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
        expected = reference.attention(row.cpu(), keys, values, config, 0.25)
        torch.testing.assert_close(out.cpu(), expected, atol=5e-6, rtol=1e-5)
