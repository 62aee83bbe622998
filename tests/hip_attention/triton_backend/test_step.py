"""Tokens decoded by the length that the device knows, against decode by the host's (see tests/triton_device.py)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import small_config
import torch
from small_layers import small_rope
from torch import Tensor
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import DeviceStep, Step
from hip_attention.plan import decoded_packed, decoded_sparsely, packed_start, sparse_start

pytestmark = NEEDS_DEVICE

SMALL = replace(small_config.SMALL, backend="triton")
READ, ALL = 101, 106 if INTERPRETED else 118


def decoded(cache: LayerCache, rows: list[Tensor], steps: bool, options: dict[str, Any]) -> Iterator[Tensor]:
    """What tokens attend to after READ others, one after the other; those are read first where there are none yet."""
    if cache.length == 0:
        cache.attend(*(x[:, :, :READ] for x in rows), Step(0, READ), scale=0.25, **options)
    device = DeviceStep.of(0, True, torch.device(DEVICE))
    for now in range(READ, ALL):
        if steps:
            device.set(now + 1, cache.advance())
        step = Step(now, 1, device=device if steps else None)
        yield cache.attend(*(x[:, :, now : now + 1].contiguous() for x in rows), step, scale=0.25, **options)


@pytest.mark.parametrize(
    "changes,options",
    [
        pytest.param({}, {}, id="sparse"),
        pytest.param({}, {"rope": False, "int8": True}, id="rotated-int8"),
        pytest.param({"packed_from": 1 << 20}, {}, id="unrotated"),
        pytest.param({"top_k": 0, "refresh_interval": 1}, {}, id="streaming"),
        pytest.param({"selector": "summary-exact"}, {"capacity": 120}, id="exact-leaves"),
        pytest.param({}, {"dense": True, "int8": True}, id="dense-int8"),
        pytest.param({}, {"sliding_window": 37}, id="sliding"),
        pytest.param({"min_context": 103}, {}, id="sparse-later"),
        pytest.param({"packed_from": 60}, {"int8": True}, id="packed"),
        pytest.param({"packed_from": 103}, {}, id="packed-later"),
        pytest.param({"packed_from": 103}, {"dense": True}, id="dense-then-packed"),
    ],
)
def test_steps_attend_as_decode_does(changes: dict, options: dict) -> None:
    options = {"rope": True, "int8": False, "capacity": 0, "dense": False} | options
    rope, int8, capacity, dense = (options.pop(name) for name in ("rope", "int8", "capacity", "dense"))
    generator = torch.Generator().manual_seed(5)
    rows = [torch.randn(1, heads, ALL, 16, generator=generator).to(DEVICE) for heads in (6, 2, 2)]
    by_step, by_length = (
        LayerCache(replace(SMALL, **changes), capacity, small_rope() if rope else None, int8=int8, dense=dense)
        for _ in range(2)
    )
    for _ in range(1 if INTERPRETED else 2):
        found = [decoded(cache, rows, cache is by_step, options) for cache in (by_step, by_length)]
        for row, expected in zip(*found, strict=True):
            torch.testing.assert_close(row, expected, atol=2e-6, rtol=1e-5)
        for cache in (by_step, by_length):
            cache.truncate(READ)


@pytest.mark.parametrize("packed_from", [None, 0, 60, 107])
@pytest.mark.parametrize("min_context", [0, 100])
def test_stages_are_where_rows_change(packed_from: int | None, min_context: int) -> None:
    config = replace(SMALL, packed_from=packed_from, min_context=min_context)
    for position in range(140):
        assert decoded_sparsely(position, config) == (sparse_start(1, position + 1, config) == 0)
        assert decoded_packed(position, config) == (packed_start(1, position + 1, config) == 0)


@pytest.mark.parametrize("selector,backend,served", [
    ("summary-exact", "triton", True), ("summary", "triton", True), ("representative", "triton", False),
    ("exhaustive", "torch", False), ("summary", "torch", False),
])  # fmt: skip
def test_only_what_the_device_can_do_alone_is_served(selector: Any, backend: Any, served: bool) -> None:
    cache = LayerCache(replace(SMALL, selector=selector, backend=backend))
    assert not cache.can_step
    cache.attend(*torch.randn(3, 1, 2, 30, 16, device=DEVICE), Step(0, 30), scale=0.25)
    assert cache.can_step == served
