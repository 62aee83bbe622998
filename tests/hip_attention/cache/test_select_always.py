"""Searching where everything may be selected: the sparse path must give dense attention, as a self-check expects."""

from dataclasses import replace
from typing import Any

import hip_attention.attention
import hip_attention.cache.decode
import pytest
import torch
from hip_attention.cache.layer import LayerCache
from hip_attention.config import HipConfig, Selector
from hip_attention.plan import searchable_blocks, slabs, sparse_start
from hip_attention.rope import Rope
from hip_attention.torch_backend import select as torch_select
from hip_attention.torch_backend.dense import dense_attention
from hip_attention.torch_backend.summaries import KeySummaries
from small_config import SMALL
from small_layers import feed, rotate, small_rope, tensors
from torch import Tensor

ALL = replace(SMALL, top_k=160, select_always=True)  # 40 key blocks, where 33 are there to be searched at the end
SELECTORS: list[Selector] = ["summary", "summary-exact"]
CUTS = ((0, 37), (37, 150), *((i, i + 1) for i in range(150, 160)))


def read(config: HipConfig, rows: list[Tensor], rope: bool = False, **options: Any) -> Tensor:
    cache = LayerCache(config, rope=small_rope() if rope else None, **options)
    return torch.cat([feed(cache, *rows, start, stop) for start, stop in CUTS], 2)


@pytest.mark.parametrize("shape", [dict(), dict(batch=2, heads=6, heads_k=1), dict(heads=3, heads_k=3, dim=32)])
@pytest.mark.parametrize("changes", [
    {}, {"selector": "summary-exact"}, {"selector": "summary-exact", "query_stride": 3}, {"window": 21, "sink": 4},
    {"top_k": 132},
])  # fmt: skip
def test_all_of_a_text_is_seen(changes: dict[str, Any], shape: dict[str, Any], poison: None) -> None:
    rows = tensors(160, **shape)
    torch.testing.assert_close(read(replace(ALL, **changes), rows), dense_attention(*rows, 0.25), atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("packed_from", [None, 1 << 20], ids=["rotated", "unrotated"])
def test_all_of_a_text_is_seen_at_true_positions(packed_from: int | None, selector: Selector) -> None:
    query, key, value = tensors(160)
    expected = dense_attention(*(rotate(x, torch.arange(160)) for x in (query, key)), value, 0.25)
    found = read(replace(ALL, packed_from=packed_from, selector=selector), [query, key, value], rope=True)
    torch.testing.assert_close(found, expected, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("rope", [None, small_rope()], ids=["rotated", "unrotated"])
def test_all_of_the_integers_are_seen(rope: Rope | None, selector: Selector) -> None:
    query, key, value = tensors(160)
    cache = LayerCache(replace(ALL, selector=selector), rope=rope, int8=True)
    found = torch.cat([feed(cache, query, key, value, start, stop) for start, stop in CUTS], 2)
    keys, values = cache.stored.positioned(0, 160), cache.stored.values.part(0, 160)
    expected = dense_attention(query if rope is None else rope.apply(query, 0), keys, values, 0.25)
    torch.testing.assert_close(found, expected, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("together", [1, 1 << 21], ids=["in-parts", "at-once"])
def test_what_fills_a_selection_no_row_sees(together: int, selector: Selector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_select, "GATHERED_CPU", together)
    config = replace(ALL, selector=selector)
    query, key, _ = tensors(160)
    summaries = KeySummaries(config.sink, config.block_k)
    summaries.extend(key[:, :, config.sink :])
    for slab in slabs(sparse_start(157, 157, config), 157, 157, config.block_q):
        blocks = torch_select.select(query[:, :, :157], slab, config, summaries, key)
        assert blocks.shape == (1, 4, slab.blocks, config.selected_blocks)
        for i in range(slab.blocks):
            last = slab.first + (i + 1) * slab.rows - 1
            found = searchable_blocks(last, config.sink, config.window, config.block_k)
            for row in blocks[0, :, i].tolist():
                assert row[:found] == list(range(config.sink // config.block_k, config.sink // config.block_k + found))
                assert set(row[found:]) == {last // config.block_k}, "its keys are in the windows of all rows"


@pytest.mark.parametrize("place", [hip_attention.attention.torch_select, hip_attention.cache.decode])
@pytest.mark.parametrize("dropped", [slice(1, None), slice(0, 3)])
def test_a_block_that_is_missing_shows(place: Any, dropped: slice, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tensors(160)
    expected = dense_attention(*rows, 0.25)
    select = torch_select.select
    monkeypatch.setattr(place, "select", lambda *given: select(*given)[..., dropped].contiguous())
    assert (read(ALL, rows) - expected).abs().max() > 1e-2


def test_rows_that_see_all_without_a_search_are_dense_otherwise() -> None:
    query, key, value = tensors(160)
    seen = []

    def attention(*given: Any) -> Tensor:
        seen.append(given[1].shape[2])
        return given[0]

    for always in (False, True):
        feed(LayerCache(replace(ALL, select_always=always), attention=attention), query, key, value, 0, 160)
        assert bool(seen) == always
