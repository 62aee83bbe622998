"""Attention mass by key, from queries that a cache keeps, against attention over all keys at once."""

from dataclasses import replace

import pytest
import torch
from hip_attention.cache.layer import LayerCache
from hip_attention.cache.query_log import QueryLog, key_mass
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig
from hip_attention.rope import Rope
from hip_attention.rope_config import RopeConfig
from small_layers import tensors
from torch import Tensor

DENSE = HipConfig(backend="dense")
SPARSE = HipConfig(top_k=32, block_q=16, block_k=8, sink=8, window=32, dense_layers=0, min_context=0)


def naive(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Attention [Hq, n, T] of the last n of the keys."""
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    logits = query @ key.transpose(2, 3) * scale
    count, length = query.shape[2], key.shape[2]
    behind = torch.arange(length) > torch.arange(length - count, length)[:, None]
    return logits.masked_fill(behind, -torch.inf).softmax(3)[0]


@pytest.mark.parametrize("at_once", [1, 3, 1 << 24])
def test_mass_is_the_sum_of_the_rows_attention(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hip_attention.cache.query_log._LOGITS", at_once * 61)
    query, key, _ = tensors(61)
    query = query[:, :, -9:]
    mass = key_mass(query, key, 0.3, [range(4), [5, 8], []], 40)
    expected = naive(query, key, 0.3)[:, :, :40]
    torch.testing.assert_close(mass[0], expected[:, :4].sum(1))
    torch.testing.assert_close(mass[1], expected[:, [5, 8]].sum(1))
    assert mass.shape == (3, 4, 40) and not mass[2].any()


@pytest.mark.parametrize("config", [DENSE, SPARSE, replace(SPARSE, question="sparse")])
@pytest.mark.parametrize("int8", [False, True])
def test_a_cache_keeps_the_queries_of_a_question_and_its_answer(config: HipConfig, int8: bool) -> None:
    if int8 and config.backend == "dense":
        pytest.skip("dense attention has no int8 keys")
    query, key, value = tensors(151)
    rope = Rope(RopeConfig(theta=1000.0), 16)
    layer = LayerCache(config, 160, rope, int8=int8)
    layer.queries.begin(100, 60)  # in the middle of the second chunk
    for start, stop in ((0, 64), (64, 128), *((at, at + 1) for at in range(128, 151))):
        step = Step(start, stop - start, question=start == 64)
        layer.attend(query[:, :, start:stop], key[:, :, start:stop], value[:, :, start:stop], step, scale=0.25)
    found = layer.mass([range(100, 128), range(128, 151)], 100)
    expected = naive(rope.apply(query, 0)[:, :, 100:], rope.apply(key, 0), 0.25)
    tolerance = 2e-2 if int8 else 1e-5
    torch.testing.assert_close(found[0], expected[:, :28, :100].sum(1), atol=tolerance * 10, rtol=tolerance)
    torch.testing.assert_close(found[1], expected[:, 28:, :100].sum(1), atol=tolerance * 10, rtol=tolerance)


def test_packed_positions_are_compared_by_content() -> None:
    config = replace(SPARSE, packed_from=64)
    query, key, value = tensors(120)
    rope = Rope(RopeConfig(theta=1000.0), 16)
    layer = LayerCache(config, 128, rope)
    layer.queries.begin(112, 8)
    for start, stop in ((0, 112), (112, 120)):
        part = slice(start, stop)
        step = Step(start, stop - start, question=start > 0)
        layer.attend(query[:, :, part], key[:, :, part], value[:, :, part], step, scale=0.25)
    distance = config.search_distance
    searched = rope.apply_at(query[:, :, 112:], distance, distance + 1)
    torch.testing.assert_close(layer.mass([range(112, 120)], 100)[0], naive(searched, key, 0.25)[:, :, :100].sum(1))


def test_another_question_begins_anew_and_room_grows() -> None:
    log = QueryLog()
    rows = torch.arange(12.0).view(1, 1, 12, 1)
    log.begin(4, 3)
    log.put(rows[:, :, 2:7], 2, 1.0, None)
    assert log.rows(3).flatten().tolist() == [4, 5, 6]
    before = log.generation
    log.begin(5, 2)
    log.put(rows[:, :, 5:7], 5, 1.0, None)
    assert log.rows(2).flatten().tolist() == [5, 6] and log.generation == before
    log.begin(0, 12)
    assert log.generation > before  # a CUDA graph that wrote there must not be used again
    log.put(rows, 0, 1.0, None)
    assert log.rows(12).equal(rows)
    before = log.generation
    log.end()
    assert not log.keeps and log.generation > before
    between = log.generation
    log.end()
    assert log.generation == between
    log.begin(0, 12)
    assert log.keeps and log.generation > between


def test_without_queries_there_is_no_mass() -> None:
    with pytest.raises(ValueError, match="no queries are kept"):
        LayerCache(DENSE).mass([range(1)], 1)
