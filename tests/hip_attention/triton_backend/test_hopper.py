"""The kernel for Hopper GPUs against the general one in fp32; it cannot be interpreted."""

import pytest
import torch
from torch import Tensor
from triton_device import INTERPRETED

HOPPER = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] == 9
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(INTERPRETED or not HOPPER, reason="needs a Hopper GPU")]
pytest.importorskip("triton")

from hip_attention.triton_backend import attend  # noqa: E402

BLOCK_Q = 128


def draw_blocks(heads: int, begin: int, count: int, length: int, selected: int, limits: dict[str, int]) -> Tensor:
    """Random searchable blocks int32 [1, heads, count, selected], the last one among them."""
    found = torch.empty(1, heads, count, selected, dtype=torch.int32)
    for i in range(count):
        last = min(length, (begin // BLOCK_Q + i + 1) * BLOCK_Q) - 1
        stop = -(-(last - limits["window"] + 1) // limits["block_k"])
        low = limits["sink"] // limits["block_k"]
        order = torch.rand(heads, stop - 1 - low).argsort(1)[:, : selected - 1] + low
        found[0, :, i] = torch.cat((order, torch.full((heads, 1), stop - 1)), 1).sort(1).values
    return found.cuda()


@pytest.mark.parametrize(
    "length_k,length_q,heads,heads_k,selected,limits",
    [
        pytest.param(4096, 2596, 4, 2, 32, dict(block_k=16, sink=64, window=512), id="usual"),
        pytest.param(3000, 300, 6, 2, 16, dict(block_k=32, sink=32, window=200), id="sink-rest"),
        pytest.param(3001, 1, 4, 1, 12, dict(block_k=16, sink=48, window=131), id="one-row"),
        pytest.param(2500, 700, 4, 2, 0, dict(block_k=16, sink=64, window=256), id="streaming"),
        pytest.param(2500, 700, 4, 2, 3, dict(block_k=64, sink=0, window=128), id="no-sink"),
        pytest.param(9000, 700, 8, 8, 70, dict(block_k=16, sink=128, window=515), id="no-groups"),
    ],
)
def test_equals_general_kernel(
    length_k: int, length_q: int, heads: int, heads_k: int, selected: int, limits: dict[str, int]
) -> None:
    torch.manual_seed(length_k)
    begin = length_k - length_q
    count = -(-length_k // BLOCK_Q) - begin // BLOCK_Q
    blocks = draw_blocks(heads, begin, count, length_k, selected, limits) if selected else None
    # Heads beside tokens in memory, as projections leave them.
    query = torch.randn(1, length_q, heads, 128, device="cuda", dtype=torch.bfloat16).transpose(1, 2)
    key, value = (torch.randn(1, heads_k, length_k, 128, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    found, expected = (torch.full_like(query, torch.nan, dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    for output in (found, expected):
        given = (x.to(output.dtype) for x in (query, key, value))
        attend.attend(*given, blocks, begin, count, length_k, output, scale=128**-0.5, block_q=BLOCK_Q, **limits)
    assert ((found.float() - expected).norm() / expected.norm()).item() < 5e-3


def test_large_scores_are_computed_again() -> None:
    torch.manual_seed(0)
    limits = dict(block_k=16, sink=64, window=512)
    query = 40 * torch.randn(1, 4, 1000, 128, device="cuda", dtype=torch.bfloat16)
    key, value = (torch.randn(1, 2, 4096, 128, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    key[:, :, 64:3000] *= 4  # keys away from the window have the largest logits
    blocks = draw_blocks(4, 3096, 8, 4096, 64, limits)
    found, expected = (torch.full_like(query, torch.nan, dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    for output in (found, expected):
        given = (x.to(output.dtype) for x in (query, key, value))
        attend.attend(*given, blocks, 3096, 8, 4096, output, scale=1.0, block_q=BLOCK_Q, **limits)
    assert ((found.float() - expected).norm() / expected.norm()).item() < 2e-2
