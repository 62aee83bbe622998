"""Searching where everything may be selected: the sparse path must give dense attention, as a self-check expects."""

from dataclasses import replace
from typing import Any

import hip_attention.attention
import hip_attention.cache.decode
import pytest
import torch
from hip_attention.cache.layer import LayerCache
from hip_attention.config import HipConfig
from hip_attention.torch_backend import select as torch_select
from hip_attention.torch_backend.dense import dense_attention
from small_config import SMALL
from small_layers import feed, rotate, small_rope, tensors
from torch import Tensor

ALL = replace(SMALL, top_k=160, select_always=True)  # 40 key blocks, where 33 are there to be searched at the end
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


@pytest.mark.parametrize("packed_from", [None, 1 << 20], ids=["rotated", "unrotated"])
def test_all_of_a_text_is_seen_at_true_positions(packed_from: int | None) -> None:
    query, key, value = tensors(160)
    expected = dense_attention(*(rotate(x, torch.arange(160)) for x in (query, key)), value, 0.25)
    found = read(replace(ALL, packed_from=packed_from), [query, key, value], rope=True)
    torch.testing.assert_close(found, expected, atol=3e-6, rtol=1e-5)


def test_all_of_the_integers_are_seen() -> None:
    query, key, value = tensors(160)
    cache = LayerCache(ALL, int8=True)
    found = torch.cat([feed(cache, query, key, value, start, stop) for start, stop in CUTS], 2)
    stored = cache.stored.keys.part(0, 160), cache.stored.values.part(0, 160)
    torch.testing.assert_close(found, dense_attention(query, *stored, 0.25), atol=3e-6, rtol=1e-5)


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
