"""Fused norms against those they replace, and memory that is kept."""

import resource
import runpy
import sys
from pathlib import Path

import pytest
import torch

from hipcli.engine.allocator import keep_freed_memory
from hipcli.models.norms import FEW, FusedRMSNorm, fuse_norms

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))


@pytest.mark.parametrize(("family", "norms"), [("llama", 5), ("qwen3", 9), ("gemma3_text", 0)])
def test_logits_stay(family: str, norms: int) -> None:
    model, ids = TINY["make_model"](family), torch.arange(3, 40)[None]
    with torch.no_grad():
        before = model(ids).logits
        fuse_norms(model)
        after = model(ids).logits
    assert sum(isinstance(module, FusedRMSNorm) for module in model.modules()) == norms
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, FEW // 37 + 1])
def test_few_numbers_and_many_are_divided_by_their_root_mean_square(rows: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(*shape, 37, generator=generator).to(dtype) for shape in ((1, rows), ()))
    x[0, 0] += 100  # far from a mean of 0
    x[0, -1] *= 1e-3  # where eps counts
    wide = x.double()
    expected = wide / (wide.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight.double()
    found = FusedRMSNorm(torch.nn.Parameter(weight), 1e-5)(x)
    assert found.dtype is dtype and found.shape == x.shape
    rounding = torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=4 * rounding, atol=rounding)


def test_a_norm_that_computes_something_else_is_kept() -> None:
    class StrangeRMSNorm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(8))
            self.variance_epsilon = 1e-5

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    parent = torch.nn.Sequential(StrangeRMSNorm())
    fuse_norms(parent)
    assert isinstance(parent[0], StrangeRMSNorm)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_freed_memory_is_used_again() -> None:
    if not keep_freed_memory():
        pytest.skip("another C library")
    for _ in range(4):
        torch.ones(10 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(10 << 20)  # 40 MiB, 10,240 pages
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 10_240
