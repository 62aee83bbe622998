"""Exact attention in parts: results that can be merged, with PyTorch's operator and without it."""

import math

import pytest
import torch
from hip_attention.torch_backend import dense
from small_layers import tensors
from torch import Tensor


@pytest.fixture(params=["operator", "formula"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "formula":
        monkeypatch.setattr(dense, "has_flash", lambda query, value: False)
    return str(request.param)


def expected(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return (query @ key.transpose(2, 3) * 0.25 + mask).softmax(-1) @ value


def test_parts_merge_to_the_whole(way: str) -> None:
    query, key, value = tensors(50, heads=4, heads_k=4)
    query = query[:, :, :7]
    mask = torch.zeros(7, 50).masked_fill_(
        torch.rand(7, 50, generator=torch.Generator().manual_seed(0)) < 0.3, -math.inf
    )
    parts = [
        dense.flash(query, key[:, :, part], value[:, :, part], 0.25, mask[:, part])
        for part in (slice(0, 33), slice(33, 50))
    ]
    merged = dense.merge(*parts[0], *parts[1])
    torch.testing.assert_close(merged, expected(query, key, value, mask), atol=2e-6, rtol=1e-5)


def test_no_keys_count_for_nothing(way: str) -> None:
    query, key, value = tensors(9, heads=2)
    nothing, sums = dense.flash(query, key[:, :, :0], value[:, :, :0], 0.25)
    assert nothing.eq(0).all() and sums.eq(-math.inf).all()
    some = dense.flash(query, key, value, 0.25)
    assert torch.equal(dense.merge(*some, nothing, sums), some[0])


def test_causal_rows_see_no_later_keys(way: str) -> None:
    query, key, value = tensors(9, heads=2)
    wanted = expected(query, key, value, torch.full((9, 9), -math.inf).triu(1))
    torch.testing.assert_close(dense.flash(query, key, value, 0.25, causal=True)[0], wanted, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("group", [1, 3])
def test_heads_of_a_group_share_their_keys(way: str, group: int) -> None:
    query, key, value = tensors(40, batch=2, heads=2 * group, heads_k=2)
    repeated = (x.repeat_interleave(group, 1) for x in (key, value))
    wanted = expected(query, *repeated, torch.zeros(40, 40))
    torch.testing.assert_close(dense.flash_by_group(query, key, value, 0.25)[0], wanted, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("heads", "heads_k"), [(6, 2), (4, 4), (5, 1)])
def test_a_row_sees_the_keys_of_its_group(
    way: str, heads: int, heads_k: int, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "_batches_group", lambda query, key: shared)
    query, key, value = tensors(41, batch=2, heads=heads, heads_k=heads_k)
    repeated = [x.repeat_interleave(heads // heads_k, 1) for x in (key, value)]
    hidden = torch.rand(2, heads_k, 1, 41, generator=torch.Generator().manual_seed(0)) < 0.3
    for mask in (None, torch.zeros(hidden.shape).masked_fill_(hidden, -math.inf)):
        found, sums = dense.flash_row(query[:, :, -1:], key, value, 0.25, mask)
        added = torch.zeros(1) if mask is None else mask.repeat_interleave(heads // heads_k, 1)
        wanted = expected(query[:, :, -1:], *repeated, added)
        torch.testing.assert_close(found, wanted, atol=2e-6, rtol=1e-5)
        logits = query[:, :, -1:] @ repeated[0].transpose(2, 3) * 0.25 + added
        torch.testing.assert_close(sums, logits.logsumexp(-1), atol=2e-6, rtol=1e-5)


def test_a_group_is_one_attention_call_where_threads_stay_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    query, key, _ = tensors(9, heads=9, heads_k=3)
    assert dense._batches_group(query, key)
    assert not dense._batches_group(query.bfloat16(), key.bfloat16()), "threads would wait"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert not dense._batches_group(query, key), "most of them would wait"
