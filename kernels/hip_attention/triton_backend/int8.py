"""Numbers to int8 codes and back in one pass over the memory: what `cache.int8.Codes` does, on a GPU."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

NUMBERS = 4096  # of one program


def encode(x: Tensor, codes: Tensor, scales: Tensor, spread: Tensor, centre: Tensor) -> None:
    """Quantise x [B, H, T, D] into codes and scales; all as in `cache.int8.Codes`."""
    _launch(_encode, x, codes, scales, spread, centre)


def decode(out: Tensor, codes: Tensor, scales: Tensor, spread: Tensor, centre: Tensor) -> None:
    """Write the dequantised numbers of codes and scales into out [B, H, T, D]; all as in `cache.int8.Codes`."""
    _launch(_decode, out, codes, scales, spread, centre)


def _launch(kernel, x: Tensor, codes: Tensor, scales: Tensor, spread: Tensor, centre: Tensor) -> None:
    batch, heads, length, dim = x.shape
    width = triton.next_power_of_2(dim)
    rows = max(1, NUMBERS // width)
    with torch.cuda.device_of(x):
        kernel[(triton.cdiv(length, rows), heads, batch)](
            x, codes, scales, spread, centre, length, *x.stride(), *codes.stride()[:3], *scales.stride()[:3],
            ROWS=rows, SIZE=dim, WIDTH=width, num_warps=4,
        )  # fmt: skip


@triton.jit
def _places(
    x, codes, scales, spreads, centres, length, sxb, sxh, sxt, sxd, scb, sch, sct, ssb, ssh, sst,
    ROWS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Addresses of a program's numbers, codes and scales, which of them exist, and spread and centre [1, WIDTH]."""
    row = (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None]
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    dim = tl.arange(0, WIDTH)[None, :]
    calibration = (batch * tl.num_programs(1) + head) * SIZE + dim
    spread = tl.load(spreads + calibration, mask=dim < SIZE, other=1.0).to(tl.float32)
    centre = tl.load(centres + calibration, mask=dim < SIZE, other=0.0).to(tl.float32)
    numbers = x + batch * sxb + head * sxh + row * sxt + dim * sxd
    here = row < length
    return (
        numbers, codes + batch * scb + head * sch + row * sct + dim, scales + batch * ssb + head * ssh + row * sst,
        here, here & (dim < SIZE), spread, centre,
    )  # fmt: skip


@triton.jit(do_not_specialize=["length"])
def _encode(
    x, codes, scales, spreads, centres, length, sxb, sxh, sxt, sxd, scb, sch, sct, ssb, ssh, sst,
    ROWS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """ROWS tokens of one head, from numbers to codes."""
    numbers, code, scale, here, inside, spread, centre = _places(
        x, codes, scales, spreads, centres, length, sxb, sxh, sxt, sxd, scb, sch, sct, ssb, ssh, sst, ROWS, SIZE, WIDTH
    )
    part = (tl.load(numbers, mask=inside, other=0.0).to(tl.float32) - centre) / spread
    part = tl.where(inside, part, 0.0)
    step = (tl.max(tl.abs(part), 1) / 127)[:, None].to(tl.bfloat16)
    tl.store(scale, step, mask=here)
    part = tl.floor(part / tl.maximum(step.to(tl.float32), 1.1754944e-38) + 0.5)
    tl.store(code, tl.minimum(tl.maximum(part, -127), 127).to(tl.int8), mask=inside)


@triton.jit(do_not_specialize=["length"])
def _decode(
    x, codes, scales, spreads, centres, length, sxb, sxh, sxt, sxd, scb, sch, sct, ssb, ssh, sst,
    ROWS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """ROWS tokens of one head, from codes to numbers."""
    numbers, code, scale, here, inside, spread, centre = _places(
        x, codes, scales, spreads, centres, length, sxb, sxh, sxt, sxd, scb, sch, sct, ssb, ssh, sst, ROWS, SIZE, WIDTH
    )
    part = tl.load(code, mask=inside, other=0).to(tl.float32)
    part = part * tl.load(scale, mask=here, other=0.0).to(tl.float32) * spread + centre
    tl.store(numbers, part.to(x.dtype.element_ty), mask=inside)
