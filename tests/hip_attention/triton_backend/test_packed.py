"""A whole cache at packed positions: the Triton backend against the torch backend (see tests/triton_device.py)."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from small_layers import small_rope
from triton_device import DEVICE, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig, Selector

pytestmark = NEEDS_DEVICE

CONFIG = HipConfig(
    selector="summary",
    top_k=16,
    block_q=16,
    block_k=4,
    sink=8,
    window=24,
    query_stride=2,
    min_context=0,
    refresh_interval=3,
    packed_from=80,
)


@pytest.mark.parametrize("selector", ["summary", "summary-exact", "representative"])
def test_backends_agree_through_prefill_and_decode(selector: Selector) -> None:
    """Exact rows, the border inside a chunk, packed rows, and decode over several refreshes."""
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, heads, 108, 16, generator=generator) for heads in (2, 1, 1))
    steps = [0, 75, *range(103, 109)]
    results = []
    for backend, device in (("torch", "cpu"), ("triton", DEVICE)):
        cache = LayerCache(replace(CONFIG, selector=selector, backend=backend), rope=small_rope())
        rows = []
        for start, stop in pairwise(steps):
            queries, keys, values = (x[:, :, start:stop].to(device) for x in (query, key, value))
            step = Step(start, stop - start)
            rows.append(cache.attend(queries, keys, values, step, scale=0.25).cpu())
        results.append(torch.cat(rows, 2))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
