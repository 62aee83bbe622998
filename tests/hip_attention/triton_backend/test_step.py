"""Tokens decoded by steps, which know no lengths, against decode that does (see tests/triton_device.py)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import small_config
import torch
from small_engine import DOCUMENT, QUESTION, Bytes, random_llama
from torch import Tensor
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig
from hip_attention.plan import decoded_packed, decoded_sparsely, packed_start, sparse_start
from hip_attention.rope import Rotary

from hipcli.engine.engine import Engine, Sampling, TextStream

pytestmark = NEEDS_DEVICE

SMALL = replace(small_config.SMALL, backend="triton")
READ, ALL = 101, 106 if INTERPRETED else 118


def tables(positions: Tensor) -> tuple[Tensor, Tensor]:
    frequencies = 1000.0 ** -(torch.arange(0, 16, 2, device=positions.device) / 16)
    angles = (positions[..., None] * frequencies).repeat(1, 1, 2)
    return angles.cos(), angles.sin()


def decoded(cache: LayerCache, rows: list[Tensor], steps: bool, options: dict[str, Any]) -> Iterator[Tensor]:
    """What tokens attend to after READ others, one after the other; those are read first where there are none yet."""
    if cache.length == 0:
        query, key, value = (x[:, :, :READ] for x in rows)
        cache.append(key, value)
        cache.attend(query, 0.25, **options)
    step = Step.of(0, True, torch.device(DEVICE))
    for now in range(READ, ALL):
        query, key, value = (x[:, :, now : now + 1].contiguous() for x in rows)
        if steps:
            step.set(now + 1, cache.lengthen())
            cache.step = step
        cache.append(key, value)
        yield cache.attend(query, 0.25, **options)
        cache.step = None


@pytest.mark.parametrize(
    "changes,options",
    [
        pytest.param({}, {}, id="sparse"),
        pytest.param({}, {"rotary": False, "int8": True}, id="rotated-int8"),
        pytest.param({"top_k": 0, "refresh_interval": 1}, {}, id="streaming"),
        pytest.param({"selector": "summary-exact"}, {"capacity": 120}, id="exact-leaves"),
        pytest.param({}, {"dense": True, "int8": True}, id="dense-int8"),
        pytest.param({}, {"sliding_window": 37}, id="sliding"),
        pytest.param({"min_context": 103}, {}, id="sparse-later"),
        pytest.param({"packed_from": 60}, {"int8": True}, id="packed"),
        pytest.param({"packed_from": 103}, {}, id="packed-later"),
        pytest.param({"packed_from": 103}, {"dense": True}, id="dense-then-packed"),
    ],
)
def test_steps_attend_as_decode_does(changes: dict, options: dict) -> None:
    options = {"rotary": True, "int8": False, "capacity": 0} | options
    rotary, int8, capacity = (options.pop(name) for name in ("rotary", "int8", "capacity"))
    generator = torch.Generator().manual_seed(5)
    rows = [torch.randn(1, heads, ALL, 16, generator=generator).to(DEVICE) for heads in (6, 2, 2)]
    by_step, by_length = (
        LayerCache(replace(SMALL, **changes), capacity, Rotary(tables) if rotary else None, int8=int8) for _ in range(2)
    )
    for _ in range(1 if INTERPRETED else 2):
        found = [decoded(cache, rows, cache is by_step, options) for cache in (by_step, by_length)]
        for row, expected in zip(*found, strict=True):
            torch.testing.assert_close(row, expected, atol=2e-6, rtol=1e-5)
        for cache in (by_step, by_length):
            cache.truncate(READ)


@pytest.mark.parametrize("packed_from", [None, 0, 60, 107])
@pytest.mark.parametrize("min_context", [0, 100])
def test_stages_are_where_rows_change(packed_from: int | None, min_context: int) -> None:
    config = replace(SMALL, packed_from=packed_from, min_context=min_context)
    for position in range(140):
        assert decoded_sparsely(position, config) == (sparse_start(1, position + 1, config) == 0)
        assert decoded_packed(position, config) == (packed_start(1, position + 1, config) == 0)


@pytest.mark.parametrize("selector,backend,served", [
    ("summary-exact", "triton", True), ("summary", "triton", True), ("representative", "triton", False),
    ("exhaustive", "torch", False), ("summary", "torch", False),
])  # fmt: skip
def test_only_what_the_device_can_do_alone_is_served(selector: Any, backend: Any, served: bool) -> None:
    cache = LayerCache(replace(SMALL, selector=selector, backend=backend))
    assert not cache.can_step
    cache.append(*torch.randn(2, 1, 2, 30, 16, device=DEVICE))
    assert cache.can_step == served


COUNT = 5 if INTERPRETED else 16


def answer(config: HipConfig) -> tuple[Engine, list[int]]:
    """An engine and the tokens of the second of two equal answers."""
    made = Engine(
        random_llama(head_dim=16).to(DEVICE), Bytes(), config, Sampling(temperature=5.0, seed=1), capacity=400
    )
    made._chunk = 64
    list(made.read(DOCUMENT[:96] if INTERPRETED else DOCUMENT))
    tokens: list[int] = []
    push = TextStream.push
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextStream, "push", lambda self, token: tokens.append(token) or push(self, token))
        for _ in range(2):
            list(made.answer(QUESTION, COUNT))
    assert tokens[:COUNT] == tokens[COUNT:]
    return made, tokens[COUNT:]


CONFIG = replace(small_config.SPARSE, question="sparse", backend="triton")


@pytest.mark.parametrize("changes", [{}] if INTERPRETED else [
    {}, {"packed_from": 200}, {"packed_from": 310}, {"refresh_interval": 1}, {"backend": "dense"},
])  # fmt: skip
def test_an_answer_decoded_by_steps_is_the_same(changes: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    made, tokens = answer(replace(CONFIG, **changes))
    assert bool(made._graphs._graphs) != INTERPRETED
    monkeypatch.setattr(LayerCache, "can_step", False)
    assert answer(made._config)[1] == tokens
    assert len(set(tokens)) > 3


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
def test_a_model_that_waits_for_the_device_decodes_without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    _, expected = answer(CONFIG)
    attend = LayerCache.attend

    def waiting(self: LayerCache, query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        assert bool(query.isfinite().all())
        return attend(self, query, *args, **kwargs)

    monkeypatch.setattr(LayerCache, "attend", waiting)
    made, tokens = answer(CONFIG)
    assert tokens == expected
    assert not made._graphs._graphs
