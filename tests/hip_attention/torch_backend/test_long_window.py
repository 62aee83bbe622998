"""The middle of a long window, attended to where it lies, against the oracle."""

from dataclasses import replace

import pytest
import small_config
import torch
from hip_attention import HipConfig, reference
from hip_attention.attention import attention, sliding_attention
from hip_attention.cache.layer import LayerCache
from hip_attention.torch_backend import attend as torch_attend
from small_layers import assert_chunks_equal_reference, assert_question_equals_reference, feed, small_rope, tensors

SMALL = replace(small_config.SMALL, window=40)
CONFIGS = [
    pytest.param(SMALL, id="plain"),
    pytest.param(replace(SMALL, window=37, sink=0), id="odd-window"),
    pytest.param(replace(SMALL, top_k=0, window=75), id="streaming"),
    pytest.param(replace(SMALL, block_q=16, selector="summary-exact", top_k=16), id="few-keys-in-the-middle"),
]
SHAPES = [dict(), dict(batch=2, heads=6, heads_k=3), dict(heads=3, heads_k=3)]


@pytest.fixture(autouse=True)
def attended(monkeypatch: pytest.MonkeyPatch, poison: None):
    """Shapes of the keys that were attended to where they lie."""
    shapes = []
    flash = torch_attend.flash_by_group

    def counted(query, key, value, scale):
        shapes.append(key.shape)
        return flash(query, key, value, scale)

    monkeypatch.setattr(torch_attend, "LONG_MIDDLE", 8)
    monkeypatch.setattr(torch_attend, "flash_by_group", counted)
    yield shapes
    assert shapes


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_at_true_positions(config: HipConfig, shape: dict) -> None:
    query, key, value = tensors(203, **shape)
    for rows in (203, 90, 13):
        part = query[:, :, -rows:]
        expected = reference.attention(part, key, value, config, 0.25)
        torch.testing.assert_close(attention(part, key, value, config, scale=0.25), expected, atol=4e-6, rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("chunk", [72, 37, 203])
def test_at_packed_positions(config: HipConfig, shape: dict, chunk: int) -> None:
    assert_chunks_equal_reference(replace(config, packed_from=90), 203, chunk, **shape)


@pytest.mark.parametrize("int8", [False, True])
def test_chunks_change_nothing_at_all(int8: bool) -> None:
    config = replace(SMALL, packed_from=70)
    query, key, value = tensors(256)
    outputs = []
    for chunk in (128, 256):
        cache = LayerCache(config, rope=small_rope(), int8=int8)
        parts = [feed(cache, query, key, value, start, start + chunk) for start in range(0, 256, chunk)]
        outputs.append(torch.cat(parts, 2))
    assert torch.equal(*outputs)


def test_a_question_that_searches_everything() -> None:
    assert_question_equals_reference(replace(SMALL, packed_from=90), 200, 30)


@pytest.mark.parametrize("length", [300, 130])
def test_layers_that_slide(length: int) -> None:
    query, key, value = tensors(length)
    out = sliding_attention(query[:, :, -120:], key, value, 100, SMALL, 0.25)
    place = torch.arange(length)
    seen = (place <= place[-120:, None]) & (place > place[-120:, None] - 100)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query[:, :, -120:], key, value, attn_mask=seen, scale=0.25, enable_gqa=True
    )
    torch.testing.assert_close(out, expected, atol=4e-6, rtol=1e-5)
