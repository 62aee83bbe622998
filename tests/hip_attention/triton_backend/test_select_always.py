"""Searching where everything may be selected, with Triton, against dense attention (see tests/triton_device.py)."""

from dataclasses import replace
from itertools import pairwise

import pytest
import small_config
import torch
from small_layers import small_rope, tensors
from torch import Tensor
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import DeviceStep, Step
from hip_attention.config import Selector
from hip_attention.torch_backend.dense import dense_attention
from hip_attention.triton_backend import prefill
from hip_attention.triton_backend.decode import DecodeBuffers
from hip_attention.triton_backend.select import select

pytestmark = NEEDS_DEVICE

ALL = replace(small_config.SMALL, backend="triton", top_k=96, select_always=True)  # 24 key blocks of 20 at the end


def read(cache: LayerCache, rows: list[Tensor], cuts: list[int]) -> Tensor:
    """Attention of rows that come in chunks between `cuts`; single ones are decoded by steps."""
    device, parts = DeviceStep.of(0, True, torch.device(DEVICE)), []
    for start, stop in pairwise(cuts):
        given = (x[:, :, start:stop].to(DEVICE).contiguous() for x in rows)
        decodes = stop == start + 1
        if decodes:
            device.set(stop, cache.advance())
        step = Step(start, stop - start, device=device if decodes else None)
        parts.append(cache.attend(*given, step, scale=0.25).cpu())
    return torch.cat(parts, 2)


@pytest.mark.parametrize(("selector", "int8"), [("summary", False), ("summary-exact", False), ("summary", True)])
def test_all_of_a_text_is_seen(selector: Selector, int8: bool) -> None:
    length = 104 if INTERPRETED else 107
    rows = tensors(length, heads=6)
    cache = LayerCache(replace(ALL, selector=selector), rope=small_rope() if int8 else None, int8=int8)
    found = read(cache, rows, [0, 45, *range(length - 4, length + 1)])
    query, key, value = rows
    if int8:
        stored = cache.stored
        query, key, value = (
            small_rope().apply(query, 0),
            stored.positioned(0, length).cpu(),
            stored.values.part(0, length).cpu(),
        )
    torch.testing.assert_close(found, dense_attention(query, key, value, 0.25), atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("decoded", [False, True], ids=["prefill", "decode"])
def test_a_block_that_is_missing_shows(decoded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    share = DecodeBuffers.share

    def without_first(state: DecodeBuffers) -> None:
        state.blocks[..., :-1] = state.blocks[..., 1:].clone()  # the last one fills a selection already
        share(state)

    if decoded:
        monkeypatch.setattr(DecodeBuffers, "share", without_first)
    else:
        monkeypatch.setattr(prefill, "select", lambda *given: select(*given)[..., 1:].contiguous())
    rows = tensors(47)
    found = read(LayerCache(replace(ALL, top_k=32)), rows, [0, 46, 47])
    error = (found - dense_attention(*rows, 0.25)).abs().amax((0, 1, 3))
    assert error[46 if decoded else slice(24, 46)].max() > 1e-2
    assert error[:24].max() < 5e-6


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
@pytest.mark.parametrize("top_k", [192, 384], ids=["any-block-may-be-hidden", "only-the-last-may-be"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("dim", [64, 128])
def test_with_blocks_of_the_usual_sizes(dim: int, dtype: torch.dtype, top_k: int) -> None:
    config = replace(
        ALL, block_q=128, block_k=16, sink=64, window=128, top_k=top_k, query_stride=4, selector="summary-exact"
    )
    rows = [x.to(DEVICE, dtype) for x in tensors(258, heads=8, dim=dim)]
    cache, parts = LayerCache(config), []
    for start, stop in pairwise([0, 128, 256, 257, 258]):
        given = (x[:, :, start:stop].contiguous() for x in rows)
        parts.append(cache.attend(*given, Step(start, stop - start), scale=0.25))
    expected = dense_attention(*(x.float() for x in rows), 0.25)
    error = 1e-4 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(torch.cat(parts, 2).float(), expected, atol=error, rtol=error)
