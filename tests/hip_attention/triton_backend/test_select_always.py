"""Searching where everything may be selected, with Triton, against dense attention (see tests/triton_device.py)."""

from dataclasses import replace
from itertools import pairwise

import pytest
import small_config
import torch
from small_layers import tensors
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import DeviceStep, Step
from hip_attention.config import Selector
from hip_attention.torch_backend.dense import dense_attention

pytestmark = NEEDS_DEVICE

ALL = replace(small_config.SMALL, backend="triton", top_k=96, select_always=True)  # 24 key blocks of 20 at the end


@pytest.mark.parametrize("selector", ["summary", "summary-exact"])
def test_all_of_a_text_is_seen(selector: Selector) -> None:
    rows = tensors(104 if INTERPRETED else 107, heads=6)
    length = rows[0].shape[2]
    cache, device = LayerCache(replace(ALL, selector=selector)), DeviceStep.of(0, True, torch.device(DEVICE))
    parts = []
    for start, stop in pairwise([0, 45, length - 4, *range(length - 3, length + 1)]):
        given = (x[:, :, start:stop].to(DEVICE).contiguous() for x in rows)
        decodes = stop == start + 1
        if decodes:
            device.set(stop, cache.lengthen())
        step = Step(start, stop - start, device=device if decodes else None)
        parts.append(cache.attend(*given, step, scale=0.25).cpu())
    torch.testing.assert_close(torch.cat(parts, 2), dense_attention(*rows, 0.25), atol=5e-6, rtol=1e-5)


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("dim", [64, 128])
def test_with_blocks_of_the_usual_sizes(dim: int, dtype: torch.dtype) -> None:
    config = replace(
        ALL, block_q=128, block_k=16, sink=64, window=128, top_k=192, query_stride=4, selector="summary-exact"
    )
    rows = [x.to(DEVICE, dtype) for x in tensors(258, heads=8, dim=dim)]
    cache, parts = LayerCache(config), []
    for start, stop in pairwise([0, 128, 256, 257, 258]):
        given = (x[:, :, start:stop].contiguous() for x in rows)
        parts.append(cache.attend(*given, Step(start, stop - start), scale=0.25))
    expected = dense_attention(*(x.float() for x in rows), 0.25)
    error = 1e-4 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(torch.cat(parts, 2).float(), expected, atol=error, rtol=error)
