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
@pytest.mark.parametrize(
    ("length", "heads", "heads_k", "dim", "batch"), [(1, 6, 2, 64, 1), (37, 3, 3, 80, 2), (130, 2, 1, 16, 1)]
)
def test_both_are_rotated(
    poison: None, length: int, heads: int, heads_k: int, dim: int, batch: int, dtype: torch.dtype, on_device: bool
) -> None:
    """Parts of one tensor [T, H, D], as a decoder has them."""
    generator = torch.Generator().manual_seed(4)
    states = torch.randn(batch, length, heads + 2 * heads_k, dim, generator=generator).to(DEVICE, dtype)
    query, key, _ = (x.transpose(1, 2) for x in states.split((heads, heads_k, heads_k), 2))
    rope = Rope(RopeConfig(1000.0), dim)
    start = torch.tensor([7], device=DEVICE) if on_device else 7
    found = rotate_pair(query, key, rope.tables(length + 7, query), start)
    for x, out in zip((query, key), found, strict=True):
        assert out.is_contiguous() and out.shape == x.shape
        error = 1e-6 if dtype == torch.float32 else 2e-2
        torch.testing.assert_close(out, rope.apply(x, 7), atol=error, rtol=error)
