"""Answers decoded by steps on the device, and by CUDA graphs of them, against decode without them."""

import json
from dataclasses import replace
from typing import Any

import pytest
import small_config
import torch
from hip_attention.cache.layer import LayerCache
from hip_attention.config import HipConfig
from small_engine import DOCUMENT, QUESTION, Bytes, answered, random_llama
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

from hipcli.engine.engine import Engine
from hipcli.engine.events import Done, Token
from hipcli.engine.sampling import Sampling
from hipcli.engine.watch import Watch
from hipcli.structured.grammar import Grammar
from hipcli.structured.schema import AnswerSchema

pytest.importorskip("triton")
pytestmark = NEEDS_DEVICE

COUNT = 5 if INTERPRETED else 16
CONFIG = replace(small_config.SPARSE, question="sparse", backend="triton")


def answer(config: HipConfig, capacity: int = 400) -> tuple[Engine, list[int]]:
    """An engine and the tokens of the second of two equal answers."""
    sampling = Sampling(temperature=5.0, seed=1)
    made = Engine(random_llama(16, DEVICE), Bytes(), config, sampling, capacity, chunk_tokens=64)
    list(made.read(DOCUMENT[:96] if INTERPRETED else DOCUMENT))
    first, second = (answered(made, QUESTION, COUNT) for _ in range(2))
    assert first == second
    return made, second


@pytest.mark.parametrize("changes", [{}] if INTERPRETED else [
    {}, {"packed_from": 200}, {"packed_from": 310}, {"refresh_interval": 1}, {"backend": "dense"},
])  # fmt: skip
def test_an_answer_decoded_by_steps_is_the_same(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, **changes)
    made, tokens = answer(config)
    assert (made.eager_because is None) != INTERPRETED
    assert bool(made.context.graphs.captured) != INTERPRETED
    monkeypatch.setattr(LayerCache, "can_step", False)
    made, expected = answer(config)
    assert tokens == expected
    assert len(set(tokens)) > 3
    assert made.eager_because is not None


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
def test_graphs_are_made_anew_where_the_cache_has_moved() -> None:
    made, expected = answer(CONFIG)
    graphs = dict(made.context.graphs._graphs)
    made, tokens = answer(CONFIG, capacity=305)  # has to grow while an answer is decoded
    assert tokens == expected
    assert made.eager_because is None and made.context.graphs.captured and graphs


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
def test_a_model_that_waits_for_the_device_decodes_without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    _, expected = answer(CONFIG)
    attend = LayerCache.attend

    def waiting(self: LayerCache, query: Any, *given: Any, **options: Any) -> Any:
        assert bool(query.isfinite().all())
        return attend(self, query, *given, **options)

    monkeypatch.setattr(LayerCache, "attend", waiting)
    made, tokens = answer(CONFIG)
    assert tokens == expected
    assert "cannot be captured" in str(made.eager_because)
    assert torch.cuda.is_available()


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
def test_a_schema_is_kept_to_by_graphs_as_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = Grammar(AnswerSchema('{"type": "string", "minLength": 4, "maxLength": 4}'), Bytes(), {256})

    def text() -> tuple[Engine, str]:
        sampling = Sampling(temperature=5.0, seed=1)
        made = Engine(random_llama(16, DEVICE), Bytes(), CONFIG, sampling, 400, chunk_tokens=64, grammar=grammar)
        list(made.read(DOCUMENT))
        return made, "".join(event.text for event in made.answer(QUESTION, 40) if isinstance(event, Token))

    made, by_graphs = text()
    assert made.eager_because is None
    assert len(json.loads(by_graphs)) == 4
    monkeypatch.setattr(LayerCache, "can_step", False)
    assert text()[1] == by_graphs


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
def test_queries_are_kept_by_graphs_however_long_questions_are() -> None:
    """The memory that graphs write to moves when a question is longer than those before."""
    watch = Watch([(0, 40), (40, 250)], 1, 1)
    questions = [QUESTION, QUESTION * 9, QUESTION * 3, QUESTION * 30]
    found = []
    for capture in (True, False):
        engine = Engine(random_llama(16, DEVICE), Bytes(), CONFIG, capacity=600)
        if not capture:
            engine.context.graphs.eager_because = "this is a test"
        list(engine.read(DOCUMENT))
        for number, question in enumerate(questions):
            done = list(engine.answer(question, 30, None if number == 2 else watch))[-1]
            assert isinstance(done, Done)
            if done.masses is not None:
                found.append([done.masses.instruction, *done.masses.asking])
    assert len(found) == 6
    for graph, eager in zip(found[:3], found[3:], strict=True):
        for mass, expected in zip(graph, eager, strict=True):
            torch.testing.assert_close(mass, expected, atol=1e-3, rtol=1e-3)
