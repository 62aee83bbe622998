"""int8 on the Triton backend: attention over codes equals attention over the dequantised numbers."""

from dataclasses import replace

import pytest
import small_config
import torch
from small_layers import small_rope
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention.cache.int8 import Codes, QuantizedBuffer
from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import Step
from hip_attention.triton_backend.decode import DecodeBuffers
from hip_attention.triton_backend.int8 import decode, encode

pytestmark = NEEDS_DEVICE

SMALL = replace(small_config.SMALL, backend="triton")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16 if INTERPRETED else torch.bfloat16])
@pytest.mark.parametrize("dim", [64, 40])
def test_kernels_round_as_pytorch_does(dim: int, dtype: torch.dtype) -> None:
    """Tokens of a tensor that is not contiguous, into memory that has room to spare; zeros and constants too."""
    x = torch.randn(2, 150, 3, dim, generator=torch.Generator().manual_seed(dim)).transpose(1, 2).to(dtype)
    x[:, :, :, 5] = 100
    x[0, :, 7] = 0
    buffer = QuantizedBuffer(capacity=170)
    buffer.append(x)
    expected = Codes(buffer.raw.codes[:, :, :150], buffer.raw.scales[:, :, :150], *buffer.raw[2:])
    raw = [y.to(DEVICE) for y in buffer.raw]
    codes, scales = torch.full_like(raw[0], 99), torch.full_like(raw[1], torch.nan)
    encode(x.to(DEVICE), codes[:, :, :150], scales[:, :, :150], *raw[2:])
    assert codes[:, :, 150:].eq(99).all() and scales[:, :, 150:].isnan().all()
    torch.testing.assert_close(scales[:, :, :150].float().cpu(), expected.scales.float(), atol=0, rtol=2**-7)
    assert (codes[:, :, :150].cpu().int() - expected.codes.int()).abs().max() <= 1
    out = torch.full((2, 3, 160, dim), torch.nan, dtype=dtype, device=DEVICE)
    decode(out[:, :, :150], *(y.to(DEVICE) for y in expected))
    assert out[:, :, 150:].isnan().all()
    error = 1e-5 if dtype == torch.float32 else 2**-7
    torch.testing.assert_close(out[:, :, :150].cpu(), buffer.part(0, 150), atol=error, rtol=error)


@pytest.mark.parametrize(
    "changes",
    [dict(), dict(selector="representative"), dict(selector="summary-exact", packed_from=80)],
    ids=["true", "representative", "packed"],
)
def test_a_cache_through_prefill_decode_and_other_tokens(changes: dict) -> None:
    config = replace(SMALL, **changes)
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, heads, 110, 16, generator=generator).to(DEVICE) for heads in (4, 2, 2))
    # int8 keys are stored before RoPE, so the plain ones are too.
    unrotated = replace(config, packed_from=config.packed_from or 1 << 20)
    coded, plain = (LayerCache(unrotated, rope=small_rope(), int8=int8) for int8 in (True, False))

    def check(start: int, stop: int) -> None:
        rows, step = query[:, :, start:stop], Step(start, stop - start)
        found = coded.attend(rows, key[:, :, start:stop], value[:, :, start:stop], step, scale=0.25)
        decoded = coded.stored.keys.part(start, stop), coded.stored.values.part(start, stop)
        expected = plain.attend(rows, *decoded, step, scale=0.25)
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)

    for start, stop in ((0, 75), (75, 103), *((i, i + 1) for i in range(103, 108))):
        check(start, stop)
    for cache in (coded, plain):
        cache.truncate(103)
    key.neg_(), value.neg_()
    check(103, 104)
    check(104, 105)


@pytest.mark.parametrize("packed", [False, True], ids=["true", "packed"])
@pytest.mark.parametrize("rotated", [False, True], ids=["plain", "rotated"])
@pytest.mark.parametrize(
    "shape",
    [
        dict(group=1, dim=64, dtype=torch.float32),
        dict(group=6, dim=96, dtype=torch.float32),
        dict(group=3, dim=16, dim_v=40, dtype=torch.float16),
    ],
    ids=["no-group", "group-6", "half"],
)
def test_a_step_dequantises_codes(monkeypatch, shape: dict, rotated: bool, packed: bool) -> None:
    """With room to spare behind the tokens, where scales are NaN, and unwritten memory NaN."""
    group, dim, dtype, length = shape["group"], shape["dim"], shape["dtype"], 203
    dim_v = shape.get("dim_v", dim)
    generator = torch.Generator().manual_seed(dim)
    query, key, value = (
        torch.randn(2, heads, length, d, generator=generator).to(DEVICE, dtype)
        for heads, d in ((2 * group, dim), (2, dim), (2, dim_v))
    )
    stored = []
    for x in (key, value):
        buffer = QuantizedBuffer(capacity=length + 17, block=SMALL.block_k)
        buffer.append(x)
        buffer.raw.scales[:, :, length:] = torch.nan
        stored.append(buffer)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(torch.nan))
    state = DecodeBuffers(SMALL, 2, 2 * group, 2, dim_v, query.device)
    state.length.fill_(length)
    state.refreshed.fill_(length - 1)
    state.blocks.copy_(2 + torch.rand(2, 2 * group, 40, generator=generator).argsort(2)[..., :8].sort(2).values)
    state.share()
    angles = torch.rand(300, dim // 2, generator=generator).to(DEVICE)
    tables = (angles.cos().to(dtype), angles.sin().to(dtype)) if rotated else None
    outputs = []
    for keys, values in ([x.raw for x in stored], [x.part(0, length) for x in stored]):
        out = torch.full((2, 2 * group, 1, dim_v), torch.nan, dtype=dtype, device=DEVICE)
        state.attend(query[:, :, -1:], keys, values, 0.25, out, tables, packed)
        outputs.append(out)
    assert outputs[0].isfinite().all()
    error = 1e-5 if dtype == torch.float32 else 2e-3
    torch.testing.assert_close(outputs[0], outputs[1], atol=error, rtol=error)
