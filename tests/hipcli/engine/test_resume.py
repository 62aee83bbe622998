"""Reading that is interrupted and goes on from a session: the same numbers, bit for bit, as without interruption."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from hip_attention import HipConfig
from hip_attention.cache.cache import Cache
from small_engine import DOCUMENT, QUESTION, SPARSE, Bytes, random_llama

from hipcli.disk.session_header import Basis, KeptDocument
from hipcli.disk.sessions import Session, open_session
from hipcli.engine.engine import Engine
from hipcli.engine.events import Token
from hipcli.engine.resume import read

PACKED = replace(SPARSE, packed_from=128)


def engine(config: HipConfig, int8: bool = False) -> Engine:
    return Engine(random_llama(), Bytes(), config, capacity=400, int8=int8, chunk_tokens=64)


def session(config: HipConfig) -> Session:
    return open_session("book", DOCUMENT, [KeptDocument("book.txt")], Basis("tiny", "r1", "float32", asdict(config)))


def no_warning(text: str) -> None:
    raise AssertionError(text)


def answer(made: Engine) -> str:
    return "".join(event.text for event in made.answer(QUESTION, 30) if isinstance(event, Token))


def uninterrupted(config: HipConfig, int8: bool = False) -> Engine:
    made = engine(config, int8)
    assert read(made, DOCUMENT, None, lambda *_: None, no_warning) == 0
    return made


def equal(one: Engine, other: Engine) -> bool:
    assert one.length == other.length == 296
    pairs = zip(one.export(0, 296), other.export(0, 296), strict=True)
    return all(a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a) for a, b in pairs)


def stop_at(tokens: int) -> Callable[[int, int | None], None]:
    def update(done: int, total: int | None) -> None:
        if done >= tokens:
            raise KeyboardInterrupt

    return update


def watch_attention(patch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[int]:
    """The layers that attend from now on, one after the other; the interrupt comes in call `stop_at`."""
    attend, layers = Cache.attend, []

    def watched(self: Cache, layer: int, *arguments: Any, **options: Any) -> Any:
        layers.append(layer)
        if len(layers) == stop_at:
            raise KeyboardInterrupt
        return attend(self, layer, *arguments, **options)

    patch.setattr(Cache, "attend", watched)
    return layers


@pytest.mark.parametrize("int8", [False, True], ids=["full", "int8"])
@pytest.mark.parametrize("config", [SPARSE, PACKED], ids=["exact", "packed"])
@pytest.mark.parametrize("tokens", [64, 192, 296])
def test_interrupted_reading_goes_on_to_the_same_numbers(config: HipConfig, tokens: int, int8: bool) -> None:
    with session(config) as kept, pytest.raises(KeyboardInterrupt):
        read(engine(config, int8), DOCUMENT, kept, stop_at(tokens), no_warning)
    made, seen = engine(config, int8), []
    with session(config) as kept:
        assert read(made, DOCUMENT, kept, lambda done, _: seen.append(done), no_warning) == tokens
    assert seen[0] == tokens and seen[-1] == 300
    expected = uninterrupted(config, int8)
    assert equal(made, expected)
    text = answer(expected)
    assert len(text) > 10
    assert answer(made) == text


def test_second_run_reads_nothing_and_answers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with session(SPARSE) as kept:
        first = engine(SPARSE)
        assert read(first, DOCUMENT, kept, lambda *_: None, no_warning) == 0
    expected = [answer(first), answer(first)]
    second = engine(SPARSE)
    calls = watch_attention(monkeypatch)
    with session(SPARSE) as kept:
        assert read(second, DOCUMENT, kept, lambda *_: None, no_warning) == 296
    assert not calls
    assert [answer(second), answer(second)] == expected
    assert calls


def test_interrupt_in_the_middle_of_a_layer_keeps_whole_chunks_only() -> None:
    with session(SPARSE) as kept, pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        watch_attention(patch, stop_at=8)  # layer 1 of the third chunk: there are three layers
        read(engine(SPARSE), DOCUMENT, kept, lambda *_: None, no_warning)
    made = engine(SPARSE)
    with session(SPARSE) as kept:
        assert read(made, DOCUMENT, kept, lambda *_: None, no_warning) == 128
    assert equal(made, uninterrupted(SPARSE))


def test_much_is_saved_on_the_way_and_not_while_somebody_waits_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hipcli.engine.resume._QUICK_BYTES", 10)
    with session(SPARSE) as kept, pytest.raises(KeyboardInterrupt):
        read(engine(SPARSE), DOCUMENT, kept, stop_at(192), no_warning)
    assert kept.saved == 128


def test_what_is_read_is_saved_every_few_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    with session(SPARSE) as kept:
        stops = []
        save = kept.save
        monkeypatch.setattr(kept, "save", lambda stop, state: stops.append(stop) or save(stop, state))
        clock = iter(range(0, 10_000, 50))
        monkeypatch.setattr("hipcli.engine.resume.time.monotonic", lambda: next(clock))
        read(engine(SPARSE), DOCUMENT, kept, lambda *_: None, no_warning, interval_s=120)
    assert stops == [128, 296, 296]


def test_a_full_disk_costs_a_warning_and_not_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    made, warnings = engine(SPARSE), []
    with session(SPARSE) as kept:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        read(made, DOCUMENT, kept, lambda *_: None, warnings.append, interval_s=0)
    (warning,) = warnings
    assert "the session is not saved" in warning and "MB needed, 0 MB free" in warning
    assert answer(made) == answer(uninterrupted(SPARSE))
