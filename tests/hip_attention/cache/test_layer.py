"""Chunks, decode steps and rewinds through a LayerCache, against the oracle."""

from dataclasses import replace

import pytest
import torch
from hip_attention import reference
from hip_attention.cache.buffer import Buffer
from hip_attention.cache.cache import Cache
from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import CacheError, DeviceStep, Step
from hip_attention.rope import Rope
from hip_attention.rope_config import RopeConfig
from hip_attention.torch_backend.dense import dense_attention
from hip_attention.torch_backend.summaries import KeySummaries
from hip_attention.torch_backend.working_set import distinct
from small_config import SMALL
from small_layers import feed, small_rope, tensors


def rotated(x):
    return small_rope().apply(x, 0)


@pytest.mark.parametrize("rotary", [False, True], ids=["rotated", "unrotated"])
@pytest.mark.parametrize("chunk", [8, 64, 200])
def test_chunked_prefill_equals_reference(chunk: int, rotary: bool) -> None:
    query, key, value = tensors(200)
    expected = reference.attention(*((rotated(query), rotated(key)) if rotary else (query, key)), value, SMALL, 0.25)
    cache = LayerCache(SMALL, rope=small_rope() if rotary else None)
    parts = [feed(cache, query, key, value, a, min(a + chunk, 200)) for a in range(0, 200, chunk)]
    torch.testing.assert_close(torch.cat(parts, 2), expected, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("selector", ["summary", "summary-exact", "representative", "exhaustive"])
@pytest.mark.parametrize("rotary", [False, True], ids=["rotated", "unrotated"])
def test_decode_reuses_a_mask_and_loses_no_recent_key(rotary: bool, selector: str) -> None:
    query, key, value = tensors(170)
    config = replace(SMALL, selector=selector)
    cache = LayerCache(config, rope=small_rope() if rotary else None)
    feed(cache, query, key, value, 0, 150)
    if rotary:
        true_query, true_key = rotated(query), rotated(key)
    else:
        true_query, true_key = query, key
    blocks = None
    for step in range(20):
        now = 150 + step
        out = feed(cache, query, key, value, now, now + 1)
        age = step % config.refresh_interval
        row, keys, values = true_query[:, :, now : now + 1], true_key[:, :, : now + 1], value[:, :, : now + 1]
        if age == 0:
            blocks = reference.select(row, keys, config.of_decode)
        expected = reference.attend(row, keys, values, blocks, config, 0.25, age)
        torch.testing.assert_close(out, expected, atol=3e-6, rtol=1e-5)


def test_a_decoded_row_selects_twice_as_many_keys() -> None:
    assert SMALL.of_decode.top_k == 2 * SMALL.top_k
    assert replace(SMALL, packed_from=100).of_decode.top_k == SMALL.top_k, "the window bounds what it may see"
    query, key, value = tensors(81)
    visible = SMALL.sink + SMALL.of_decode.top_k + SMALL.window  # more than a row of a document sees
    assert SMALL.visible_keys < 80 < visible
    cache = LayerCache(SMALL)
    feed(cache, query, key, value, 0, 80)
    out = feed(cache, query, key, value, 80, 81)
    torch.testing.assert_close(out, dense_attention(query[:, :, 80:], key, value, 0.25), atol=3e-6, rtol=1e-5)


def test_rows_of_blocks_lose_what_they_hold_twice() -> None:
    blocks = torch.tensor([[[5, 2, 7, 2, 5, 9], [3, 3, 3, 3, 3, 1]]])
    assert distinct(blocks, 10).tolist() == [[[2, 5, 7, 9], [1, 3, 10, 10]]]


def test_decode_without_selection_is_streaming() -> None:
    query, key, value = tensors(60)
    config = replace(SMALL, top_k=0)
    cache = LayerCache(config)
    feed(cache, query, key, value, 0, 59)
    out = feed(cache, query, key, value, 59, 60)
    blocks = torch.empty(1, 4, 1, 0, dtype=torch.long)
    expected = reference.attend(query[:, :, 59:], key, value, blocks, config, 0.25)
    torch.testing.assert_close(out, expected, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("dense", [False, True])
def test_a_rewound_cache_forgets(dense: bool) -> None:
    query, key, value = tensors(160)
    cache, fresh = (LayerCache(SMALL, rope=small_rope(), dense=dense) for _ in range(2))
    for layer in (cache, fresh):
        feed(layer, query, key, value, 0, 120)
    for now in range(120, 140):
        feed(cache, query, key * 5, value * 5, now, now + 1)
    cache.truncate(120)
    for start, stop in ((120, 150), (150, 151), (151, 152)):
        results = [feed(layer, query, key, value, start, stop) for layer in (cache, fresh)]
        torch.testing.assert_close(*results, atol=1e-6, rtol=1e-6)


def test_layers_share_scratch_without_mixing() -> None:
    query, key, value = tensors(100)
    layers = Cache(2, replace(SMALL, dense_layers=0), ropes=[small_rope(), small_rope()]).layers
    alone = LayerCache(SMALL, rope=small_rope())
    feed(layers[0], query, -key, value, 0, 96)
    assert torch.equal(feed(layers[1], query, key, value, 0, 96), feed(alone, query, key, value, 0, 96))


def test_summaries_arriving_in_pieces_equal_those_at_once() -> None:
    _, key, _ = tensors(203)
    whole, pieces = KeySummaries(8, 4), KeySummaries(8, 4)
    whole.extend(key[:, :, 8:])
    for stop in (9, 50, 51, 130, 203):
        pieces.extend(key[:, :, pieces.next_key : stop])
    assert len(whole.levels) == len(pieces.levels) == 6
    for level in range(6):
        span = 4 << level
        for stored in (whole, pieces):
            keys = key[:, :, 8 : 8 + stored.levels[level].length * span].unflatten(2, (-1, span))
            expected = torch.cat((keys.mean(3), keys.var(3, unbiased=False)), -1)
            torch.testing.assert_close(stored.levels[level].tokens, expected)
    whole.truncate(100)
    assert [level.length for level in whole.levels] == [23, 11, 5, 2, 1, 0]


def test_buffer_grows_keeps_its_tokens_and_pads_with_zeros() -> None:
    buffer = Buffer(capacity=3, block=4)
    rows = torch.randn(1, 2, 50, 8)
    for start in range(0, 50, 5):
        buffer.append(rows[:, :, start : start + 5])
    assert torch.equal(buffer.tokens, rows)
    assert buffer.data.shape[2] % 4 == 0
    assert buffer.data[:, :, 50:].eq(0).all()


def test_a_function_of_tensors_replaces_sparse_attention_alone() -> None:
    query, key, value = tensors(100)
    seen = []

    def attention(query, key, value, config, scale):
        seen.append((query, key, value, config, scale))
        return query * 2

    cache = LayerCache(SMALL, rope=small_rope(), attention=attention)
    short = feed(cache, query, key, value, 0, 40)
    torch.testing.assert_close(
        short, reference.attention(rotated(query)[:, :, :40], rotated(key)[:, :, :40], value[:, :, :40], SMALL, 0.25)
    )
    assert not seen
    assert torch.equal(feed(cache, query, key, value, 40, 99), rotated(query)[:, :, 40:99] * 2)
    assert torch.equal(feed(cache, query, key, value, 99, 100), rotated(query)[:, :, 99:] * 2)
    assert [tuple(each[1].shape) for each in seen] == [(1, 2, 99, 16), (1, 2, 100, 16)]
    torch.testing.assert_close(seen[1][1], rotated(key))
    assert torch.equal(seen[1][2], value)
    assert seen[1][3:] == (SMALL, 0.25)


@pytest.mark.parametrize("packed_from", [None, 300])
def test_a_question_attends_to_everything_and_leaves_no_trace(packed_from: int | None) -> None:
    query, key, value = tensors(180)
    config = replace(SMALL, packed_from=packed_from)
    caches = [LayerCache(replace(config, question=way), rope=small_rope()) for way in ("dense", "sparse")]
    found = []
    for cache in caches:
        feed(cache, query, key, value, 0, 150)
        feed(cache, query, key, value, 150, 151)
        found.append(feed(cache, query, key, value, 151, 170, question=True))
    everything = replace(SMALL, top_k=1024)
    expected = reference.attention(
        rotated(query)[:, :, 151:170], rotated(key)[:, :, :170], value[:, :, :170], everything, 0.25
    )
    torch.testing.assert_close(found[0], expected, atol=3e-6, rtol=1e-5)
    assert not torch.allclose(found[1], expected, atol=1e-3)
    after = [torch.cat([feed(cache, query, key, value, i, i + 1) for i in range(170, 180)], 2) for cache in caches]
    torch.testing.assert_close(after[0], after[1])


@pytest.mark.parametrize("packed_from", [None, 300])
def test_the_last_chunk_of_a_question_may_be_one_token(packed_from: int | None) -> None:
    query, key, value = tensors(170)
    config = replace(SMALL, packed_from=packed_from)
    whole, parts = (LayerCache(config, rope=small_rope()) for _ in range(2))
    for cache in (whole, parts):
        feed(cache, query, key, value, 0, 144)
    expected = feed(whole, query, key, value, 144, 170, question=True)[:, :, -1:]
    feed(parts, query, key, value, 144, 169, question=True)
    found = feed(parts, query, key, value, 169, 170, question=True)
    torch.testing.assert_close(found, expected, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("step", [Step(10, 5), Step(12, 5), Step(11, 4), Step(11, 5, device=None)])
def test_tokens_that_do_not_follow_those_cached_are_refused(step: Step) -> None:
    query, key, value = (x[:, :, :5] for x in tensors(20))
    cache = LayerCache(SMALL)
    feed(cache, *tensors(11), 0, 11)
    if step == Step(11, 5):
        cache.attend(query, key, value, step, scale=0.25)
        assert cache.length == 16
        return
    with pytest.raises(CacheError, match=r"5 tokens come after 11 that are cached"):
        cache.attend(query, key, value, step, scale=0.25)
    assert cache.length == 11, "nothing was stored"


def test_a_step_on_the_device_was_counted_before() -> None:
    query, key, value = (x[:, :, :1] for x in tensors(20))
    cache = LayerCache(SMALL)
    feed(cache, *tensors(11), 0, 11)
    step = Step(11, 1, device=DeviceStep.of(12, True, torch.device("cpu")))
    with pytest.raises(CacheError, match="come after 10 that are cached, where 1 after 11 were counted"):
        cache.attend(query, key, value, step, scale=0.25)


def test_a_cache_says_which_layer_differs() -> None:
    cache = Cache(3, SMALL)
    query, key, value = tensors(8)
    for layer in range(2):
        cache.attend(layer, query, key, value, Step(0, 8), scale=0.25)
    with pytest.raises(CacheError, match="layer 2 holds 0 tokens where 8 were read"):
        cache.check(8)
    cache.attend(2, query, key, value, Step(0, 8), scale=0.25)
    cache.check(8)


@pytest.mark.parametrize(("packed_from", "int8"), [(None, False), (300, False), (None, True)])
def test_keys_are_stored_rotated_unless_they_are_packed_or_int8(packed_from: int | None, int8: bool) -> None:
    query, key, value = tensors(50)
    cache = LayerCache(replace(SMALL, packed_from=packed_from), rope=small_rope(), int8=int8)
    for start, stop in ((0, 37), (37, 50)):
        feed(cache, query, key, value, start, stop)
    expected = key if int8 or packed_from is not None else rotated(key)
    torch.testing.assert_close(cache.stored.keys.part(0, 50), expected, atol=0.05 if int8 else 1e-6, rtol=0)


def test_every_layer_of_a_cache_has_its_own_rope_and_is_truncated_and_restored() -> None:
    config, ropes = replace(SMALL, dense_layers=1), [Rope(RopeConfig(theta), 16) for theta in (1e3, 30.0, 1e4)]
    rows = [tensors(120, seed=layer) for layer in range(3)]

    def read(cache: Cache, start: int, stop: int) -> torch.Tensor:
        parts, step = [[x[:, :, start:stop] for x in each] for each in rows], Step(start, stop - start)
        return torch.stack([cache.attend(layer, *part, step, scale=0.25) for layer, part in enumerate(parts)])

    cache, restored = Cache(3, config, ropes=ropes), Cache(3, config, ropes=ropes)
    read(cache, 0, 100)
    expected = read(cache, 100, 120)
    for layer in range(3):
        alone = LayerCache(config, rope=ropes[layer], dense=layer == 0)
        feed(alone, *rows[layer], 0, 100)
        assert torch.equal(feed(alone, *rows[layer], 100, 120), expected[layer])
    cache.truncate(100)
    for part in ((0, 60), (60, 100)):
        restored.restore(cache.export(*part))
    for each in (cache, restored):
        each.check(100)
        torch.testing.assert_close(read(each, 100, 120), expected, atol=1e-6, rtol=1e-6)
