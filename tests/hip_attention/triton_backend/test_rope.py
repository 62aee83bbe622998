"""Queries and keys rotated by one kernel, against PyTorch (see tests/triton_device.py)."""

import pytest
import torch
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention.rope import Rope
from hip_attention.rope_config import RopeConfig
from hip_attention.triton_backend.rope import rotate_pair

pytestmark = NEEDS_DEVICE


@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16 if INTERPRETED else torch.bfloat16])
@pytest.mark.parametrize(("length", "heads", "heads_k", "dim"), [(1, 6, 2, 64), (37, 3, 3, 80), (130, 2, 1, 16)])
def test_both_are_rotated(
    poison: None, length: int, heads: int, heads_k: int, dim: int, dtype: torch.dtype, on_device: bool
) -> None:
    """Parts of one tensor [T, H, D], as a decoder has them."""
    states = torch.randn(length, heads + 2 * heads_k, dim).to(dtype)
    query, key, _ = (x.transpose(0, 1)[None] for x in states.split((heads, heads_k, heads_k), 1))
    rope = Rope(RopeConfig(1000.0), dim)
    tables = tuple(x.to(DEVICE) for x in rope.tables(length + 7, query))
    start = torch.tensor([7], device=DEVICE) if on_device else 7
    found = rotate_pair(query.to(DEVICE), key.to(DEVICE), tables, start)
    for x, out in zip((query, key), found, strict=True):
        assert out.is_contiguous() and out.shape == x.shape
        error = 1e-6 if dtype == torch.float32 else 1e-2
        torch.testing.assert_close(out.cpu(), rope.apply(x, 7), atol=error, rtol=error)
