"""Packed positions through a LayerCache and a model, against the oracle."""

from dataclasses import replace

import pytest
import small_config
import torch
from hip_attention import HipConfig, reference
from hip_attention.attention import attention
from hip_attention.cache.layer import LayerCache
from hip_attention.rope import Rope
from hip_attention.torch_backend import select as torch_select
from small_layers import (
    assert_chunks_equal_reference,
    assert_decode_equals_reference,
    assert_question_equals_reference,
    feed,
    rotate,
    small_rope,
    tensors,
)

SMALL = replace(small_config.SMALL, packed_from=70)
CONFIGS = [
    pytest.param(SMALL, id="plain"),
    pytest.param(replace(SMALL, packed_from=0), id="from-the-start"),
    pytest.param(replace(SMALL, packed_from=101, query_stride=3, sink=0, window=21), id="inside-a-block"),
    pytest.param(replace(SMALL, top_k=0), id="streaming"),
    pytest.param(replace(SMALL, min_context=120), id="min-context"),
    pytest.param(replace(SMALL, selector="representative"), id="representative"),
    pytest.param(replace(SMALL, selector="summary-exact", top_k=16), id="exact-leaves"),
    pytest.param(replace(SMALL, selector="representative-first", block_k=2), id="representative-first"),
    pytest.param(replace(SMALL, selector="exhaustive"), id="exhaustive"),
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(
    ("chunk", "shape"), [(72, dict()), (37, dict(batch=2, heads=6, heads_k=2)), (190, dict(heads=3, heads_k=3))]
)
def test_chunks_equal_reference(config: HipConfig, chunk: int, shape: dict) -> None:
    assert_chunks_equal_reference(config, 190, chunk, **shape)


@pytest.mark.parametrize("config", CONFIGS)
def test_decode_equals_reference_at_every_age_and_across_the_border(config: HipConfig) -> None:
    assert_decode_equals_reference(config, 62, 130)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(SMALL, id="plain"),
        pytest.param(replace(SMALL, window=75, refresh_interval=4), id="wider-than-the-rest"),
        pytest.param(replace(SMALL, window=8, refresh_interval=11, sink=0), id="refreshed-late"),
        pytest.param(replace(SMALL, window=9, refresh_interval=1, top_k=16), id="refreshed-always"),
        pytest.param(replace(SMALL, window=19, top_k=0, sink=0), id="streaming"),
        pytest.param(replace(SMALL, block_q=1, block_k=1, top_k=6, window=1, sink=0), id="itself-and-selected"),
    ],
)
@pytest.mark.parametrize(
    "shape", [dict(heads=3, heads_k=3), dict(batch=2, heads=9, heads_k=3), dict(heads=6, heads_k=1)]
)
def test_decode_equals_reference_whatever_is_in_unused_memory(poison: None, config: HipConfig, shape: dict) -> None:
    """Windows that are no multiple of anything, many times replaced."""
    assert_decode_equals_reference(config, 131, 175, **shape)


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, top_k=0)], ids=["plain", "streaming"])
def test_decode_equals_reference_where_values_are_less_wide(poison: None, config: HipConfig) -> None:
    assert_decode_equals_reference(config, 110, 130, dim_v=12)


@pytest.mark.parametrize("steps", [1, 4, 5])
def test_decode_forgets_what_was_truncated(poison: None, steps: int) -> None:
    query, key, value = tensors(160)
    cache, fresh = (LayerCache(SMALL, rope=small_rope()) for _ in range(2))
    for layer in (cache, fresh):
        feed(layer, query, key, value, 0, 120)
    for i in range(120, 120 + steps):
        feed(cache, query, -key, -value, i, i + 1)
    cache.truncate(120)
    for i in range(120, 160):
        assert torch.equal(feed(cache, query, key, value, i, i + 1), feed(fresh, query, key, value, i, i + 1))


def test_decode_rotates_each_window_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = tensors(160)
    cache = LayerCache(replace(SMALL, window=40), rope=small_rope())
    feed(cache, query, key, value, 0, 120)
    lengths = []
    apply = Rope.apply

    def counted(self: Rope, x: torch.Tensor, start: int, out: torch.Tensor | None = None) -> torch.Tensor:
        lengths.append(x.shape[2])
        return apply(self, x, start, out)

    monkeypatch.setattr(Rope, "apply", counted)
    for i in range(120, 160):
        feed(cache, query, key, value, i, i + 1)
    assert lengths.count(SMALL.sink) == lengths.count(SMALL.top_k) == 14, "refreshes"
    assert lengths.count(39) == 1 and max(lengths) == 39


@pytest.mark.parametrize("config", CONFIGS)
def test_chunks_change_nothing_at_all(config: HipConfig) -> None:
    query, key, value = tensors(256)
    whole = feed(LayerCache(config, rope=small_rope()), query, key, value, 0, 256)
    cache = LayerCache(config, rope=small_rope())
    parts = [feed(cache, query, key, value, start, start + 32) for start in range(0, 256, 32)]
    assert torch.equal(torch.cat(parts, 2), whole)


def test_where_everything_fits_packed_is_exact() -> None:
    query, key, value = tensors(256)
    config = replace(SMALL, top_k=256 - SMALL.sink - SMALL.window, packed_from=0)
    exact = [rotate(x, torch.arange(256)) for x in (query, key)]
    expected = torch.nn.functional.scaled_dot_product_attention(
        *exact, value, is_causal=True, scale=0.25, enable_gqa=True
    )
    out = feed(LayerCache(config, rope=small_rope()), query, key, value, 0, 256)
    torch.testing.assert_close(out, expected, atol=4e-6, rtol=1e-5)
    packed = reference.attention(query, key, value, config, 0.25, rotate)
    torch.testing.assert_close(packed, expected, atol=4e-6, rtol=1e-5)


@pytest.mark.parametrize("age", [None, 0, 2])
def test_packed_positions_keep_the_order_of_the_document_and_stay_in_range(age: int | None) -> None:
    blocks = torch.tensor([2, 3, 9, 20, 21, 28, 30, 41])  # 41 holds keys that windows hold too
    for position in range(184, 192) if age is None else [184]:
        place = reference.packed_positions(position, blocks, 192, SMALL, age)
        seen = place[reference.visible(blocks, position, 192, SMALL.window + (age or 0), SMALL)]
        assert bool((seen.diff() > 0).all())
        assert seen[0] == 0
        assert seen[-1] == place[position] < SMALL.packed_length
        assert seen[-SMALL.window :].diff().eq(1).all()
        assert (seen[:12].diff() == 1).all()  # the sink and the block after it


def test_streaming_does_not_tell_where_in_the_text_it_is() -> None:
    config = replace(SMALL, top_k=0)
    outputs = []
    for length in (200, 840):
        query, key, value = tensors(length)
        for x, y in zip((query, key, value), tensors(200), strict=True):
            x[:, :, : config.sink], x[:, :, -80:] = y[:, :, : config.sink], y[:, :, -80:]
        outputs.append(feed(LayerCache(config, rope=small_rope()), query, key, value, 0, length)[:, :, -40:])
    assert torch.equal(*outputs)


@pytest.mark.parametrize("stop", [110, 111])
def test_a_rewound_cache_forgets(stop: int) -> None:
    query, key, value = tensors(160)
    cache, fresh = (LayerCache(SMALL, rope=small_rope()) for _ in range(2))
    for layer in (cache, fresh):
        feed(layer, query, key, value, 0, 64)
    for start, end in ((64, 104), (104, 105), (105, 106), (106, 107)):  # over the border, and back before it
        feed(cache, query, -key, value, start, end)
    cache.truncate(64)
    for start, end in ((64, stop), (stop, stop + 1), (stop + 1, stop + 2)):
        assert torch.equal(feed(cache, query, key, value, start, end), feed(fresh, query, key, value, start, end))


def test_no_row_sees_a_later_key() -> None:
    query, key, value = tensors(200)
    before = feed(LayerCache(SMALL, rope=small_rope()), query, key, value, 0, 200)
    key[:, :, 123:], value[:, :, 123:] = 9.0, -9.0
    after = feed(LayerCache(SMALL, rope=small_rope()), query, key, value, 0, 200)
    assert torch.equal(before[:, :, :120], after[:, :, :120])
    assert not torch.equal(before[:, :, 120:], after[:, :, 120:])


def test_dense_ends_where_packing_begins() -> None:
    query, key, value = tensors(190)
    dense, sparse = (LayerCache(SMALL, rope=small_rope(), dense=each) for each in (True, False))
    first = feed(dense, query, key, value, 0, 190)
    rotated = [rotate(x, torch.arange(190)) for x in (query, key)]
    expected = reference.attention(*rotated, value, replace(SMALL, top_k=256, packed_from=None), 0.25)
    torch.testing.assert_close(first[:, :, :64], expected[:, :, :64], atol=4e-6, rtol=1e-5)
    assert torch.equal(first[:, :, 64:], feed(sparse, query, key, value, 0, 190)[:, :, 64:])


@pytest.mark.parametrize("rows", [2, 13, 31])
def test_a_dense_question_searches_everything(rows: int) -> None:
    query, key, value = tensors(190)
    dense, sparse = (LayerCache(replace(SMALL, question=kind), rope=small_rope()) for kind in ("dense", "sparse"))
    outputs = []
    for layer in (dense, sparse):
        feed(layer, query, key, value, 0, 190 - rows)
        outputs.append(feed(layer, query, key, value, 190 - rows, 190, question=True))
    tail = query[:, :, -rows:], key, value
    expected = [reference.attention(*tail, config, 0.25, rotate) for config in (SMALL.of_question, SMALL)]
    for out, right in zip(outputs, expected, strict=True):
        torch.testing.assert_close(out, right, atol=4e-6, rtol=1e-5)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


@pytest.mark.parametrize("together", [1, 300, 1 << 20])
@pytest.mark.parametrize("shape", [dict(), dict(batch=2, heads=6, heads_k=3)])
def test_searching_everything_in_parts_changes_nothing(
    together: int, shape: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_select, "EXHAUSTIVE_CPU", together)
    assert_question_equals_reference(SMALL, 190, 40, **shape)


def test_a_question_after_restored_keys_leaves_summaries_to_decode() -> None:
    query, key, value = tensors(190)
    read, restored = (LayerCache(SMALL, rope=small_rope()) for _ in range(2))
    feed(read, query, key, value, 0, 160)
    restored.restore(read.export(0, 160))
    outputs = []
    for layer in (read, restored):
        rows = [feed(layer, query, key, value, 160, 180, question=True)]
        if layer is restored:
            assert restored.index.summaries.next_key == SMALL.sink, "nobody has read summaries yet"
        rows += [feed(layer, query, key, value, i, i + 1) for i in range(180, 190)]
        outputs.append(torch.cat(rows, 2))
    assert torch.equal(*outputs)
    assert restored.index.summaries.next_key == read.index.summaries.next_key > 160


def test_a_question_with_little_to_search_is_read_like_a_document() -> None:
    query, key, value = tensors(60)
    config = replace(SMALL, packed_from=0, sink=4)
    layer = LayerCache(config, rope=small_rope())
    feed(layer, query, key, value, 0, 50)
    out = feed(layer, query, key, value, 50, 60, question=True)
    expected = reference.attention(query[:, :, 50:], key, value, config, 0.25, rotate)
    torch.testing.assert_close(out, expected, atol=4e-6, rtol=1e-5)


def test_keys_that_arrive_rotated_are_refused() -> None:
    with pytest.raises(ValueError, match="before RoPE"):
        LayerCache(SMALL)
    with pytest.raises(ValueError, match="before RoPE"):
        attention(*tensors(100), SMALL)
    with pytest.raises(ValueError, match="packed_from"):
        HipConfig(packed_from=-1)
    with pytest.raises(ValueError, match="true positions"):
        HipConfig(packed_from=100, backend="dense")
