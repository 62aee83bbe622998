"""Token and memory arithmetic before a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hip_attention.cache.layer import LayerCache
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn
from small_layers import feed, small_rope, tensors

from hipcli.cli.options import KvStorage
from hipcli.errors import ExitCode, HipError
from hipcli.models.resolve import ModelShape
from hipcli.planning import budget
from hipcli.planning.budget import GIB, Budget, DocumentCount, Memory
from hipcli.planning.kv_cache import choose

LLAMA_8B = ModelShape(
    family="llama", layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, window=131072, weight_bytes=16 * GIB
)
ENOUGH = Memory(weights=1, keys_and_values=2, summaries=3, workspace=4, available=10)
TEXT = DocumentCount("a.txt", None, None, 400, lambda: 100)
PDF = DocumentCount("b.pdf", 3, "page", 400, lambda: 100)


def plan(*documents: DocumentCount, prompt: int = 300, answer: int = 50, window: int | None = 350) -> Budget:
    return Budget(documents or (TEXT,), prompt, answer, window, ENOUGH)


def refusal(plan: Budget, can_split: bool = False) -> HipError:
    error = plan.refusal("m", can_split)
    assert error is not None
    assert error.exit_code == ExitCode.DOES_NOT_FIT
    return error


def test_exactly_full_fits() -> None:
    assert plan().fits
    assert plan().refusal("m", True) is None
    assert plan(TEXT, PDF).instruction_tokens == 100


def test_one_token_too_many_does_not() -> None:
    full = plan(window=349)
    assert (full.fits, full.excess_tokens) == (False, 1)
    assert refusal(full).message == "a.txt: needs 350 tokens, 1 more than the window of m holds"


def test_an_unknown_window_refuses_nothing() -> None:
    assert plan(prompt=10**9, window=None).fits


@pytest.mark.parametrize(("factor", "fits"), [(1, False), (2, True)])
def test_stretched_positions_reach_farther(factor: float, fits: bool) -> None:
    long = replace(plan(window=175), yarn=Yarn(factor, 175))
    assert (long.fits, long.excess_tokens) == (fits, 0 if fits else 175)
    assert long.as_json()["positions"] == "yarn"


def test_too_long_for_stretched_positions() -> None:
    long = refusal(replace(plan(window=170), yarn=Yarn(2, 170)))
    assert long.message == "a.txt: needs 350 tokens, 10 more than the window of m, stretched 2 times, holds"
    assert "--positions auto" in (long.hint or "")
    assert "--positions" not in (refusal(replace(plan(window=170), can_reach=False)).hint or "")


def test_hints_offer_only_what_helps() -> None:
    hint = refusal(plan(window=349)).hint or ""
    assert "--max-tokens 49" in hint
    assert "--model" in hint
    assert "--pages" not in hint
    assert "--each" not in hint
    hint = refusal(plan(TEXT, PDF, prompt=1000), can_split=True).hint or ""
    assert "--pages" in hint
    assert "--each" in hint
    assert "--max-tokens" not in hint, "no answer is short enough"
    assert "--each" not in (refusal(plan(PDF, prompt=1000), can_split=True).hint or ""), "one document cannot be split"


def test_memory_exactly_full_fits_and_one_byte_more_does_not() -> None:
    assert ENOUGH.excess == 0
    short = Memory(weights=2 * GIB, keys_and_values=GIB, summaries=0, workspace=0, available=GIB)
    assert short.excess == 2 * GIB
    error = refusal(Budget((TEXT, PDF), 1, 1, None, short))
    assert error.message == "2 documents: needs 3.0 GiB, 2.0 GiB more than is free"
    assert Memory(10**15, 0, 0, 0, None).excess == 0


def test_memory_of_a_known_model() -> None:
    """Llama-3.1-8B: 128 KiB of keys and values a token in 16 bits, so 16 GiB for 128k tokens."""
    hip = budget.memory(LLAMA_8B, 131072, HipConfig(dense_layers=3), 2, None, on_gpu=True)
    assert hip.keys_and_values == 16 * GIB
    assert hip.summaries == 2 * GIB  # a quarter of the keys
    assert hip.weights == 16 * GIB
    assert hip.needed == hip.weights + hip.keys_and_values + hip.summaries + hip.workspace
    assert 3 * GIB // 4 < hip.workspace < 5 * GIB // 4, "no layer keeps keys twice"


@pytest.mark.parametrize(
    ("config", "kind", "keys"),
    [
        (HipConfig(dense_layers=3), "int8", 2 * 131072),
        (HipConfig(dense_layers=3, packed_from=8192), "int8", 5 * (8192 + 128)),  # and those of the dense layers
        (HipConfig(dense_layers=40, packed_from=8192), "int8", 34 * (8192 + 128)),
        (HipConfig(dense_layers=3, packed_from=8192), "full", 5 * (8192 + 128)),
        (HipConfig(dense_layers=3), "full", 0),
        (HipConfig(backend="dense"), "full", 0),
    ],
)
def test_keys_kept_before_rotation_are_copied(config: HipConfig, kind: KvStorage, keys: int) -> None:
    none = HipConfig(packed_from=0, block_q=16, window=16, top_k=0, sink=0, dense_layers=0)
    ours, others = (
        budget.memory(LLAMA_8B, 131072, each, 2, None, kind, on_gpu=True).workspace for each in (config, none)
    )
    copied = 2 * 32  # of the other one's keys
    assert ours - others == (keys - copied) * 8 * 128 * 2


@pytest.mark.parametrize(
    ("tokens", "changes"),
    [
        (600, {}),
        (600, {"packed_from": 200, "window": 160}),
        (600, {"top_k": 0}),
        (600, {"top_k": 128}),  # more than there are
        (200, {"top_k": 128}),
        (600, {"min_context": 600}),
    ],
)
def test_a_processor_decodes_from_what_it_keeps_side_by_side(tokens: int, changes: dict[str, Any]) -> None:
    config = replace(HipConfig(top_k=32, block_q=16, sink=16, window=32, dense_layers=1, min_context=0), **changes)
    shape = replace(LLAMA_8B, layers=3, heads=6, kv_heads=2, head_dim=16)
    cpu, gpu = (budget.memory(shape, tokens, config, 4, None, on_gpu=on_gpu).workspace for on_gpu in (False, True))
    cache = LayerCache(config, tokens, small_rope())
    query, key, value = tensors(tokens, heads=6)
    feed(cache, query, key, value, 0, tokens - 1)
    feed(cache, query, key, value, tokens - 1, tokens)
    held = 0
    working_set = cache.decode.working_set
    if working_set is not None:
        window = working_set._window
        kept = [working_set._keys, working_set._values, *([window.keys, window.values] if window else [])]
        held = sum(x.nbytes for x in kept) * (3 - config.full_layers)
    assert held * 0.75 <= cpu - gpu <= held
    assert (held == 0) == (tokens == 200 or "min_context" in changes)


@pytest.mark.parametrize(
    ("config", "dense", "copies"),
    [(HipConfig(dense_layers=3), 3, 2), (HipConfig(packed_from=131072), 0, 0)],
)
def test_integers_take_half_and_the_numbers_of_one_layer(config: HipConfig, dense: int, copies: int) -> None:
    """128 dimensions are 128 codes and a scale of two bytes; layers that read everything stay as they are."""
    full, int8 = (budget.memory(LLAMA_8B, 131072, config, 2, None, kind) for kind in ("full", "int8"))
    layer = GIB // 2
    assert int8.keys_and_values == dense * layer + (32 - dense) * layer * 130 // 256
    assert int8.workspace == full.workspace + layer + copies * layer // 2, "keys before RoPE are copied, too"
    assert (int8.summaries, int8.weights) == (full.summaries, full.weights)


def test_integers_are_offered_where_they_help() -> None:
    short = Memory(weights=2 * GIB, keys_and_values=GIB, summaries=0, workspace=0, available=GIB)
    for otherwise, offered in ((None, False), (short, False), (ENOUGH, True)):
        hint = refusal(Budget((TEXT,), 1, 1, None, short, otherwise=otherwise)).hint or ""
        assert ("--kv-cache int8" in hint) == offered
    assert "--kv-cache" not in (refusal(Budget((TEXT,), 1, 1, None, short, False, "int8", ENOUGH)).hint or "")


@pytest.mark.parametrize(
    ("kind", "available", "kept", "chosen"),
    [
        ("auto", None, None, "full"),
        ("auto", 10, None, "full"),
        ("auto", 9, None, "int8"),
        ("auto", 1, None, "int8"),
        ("auto", 10, "int8", "int8"),
        ("auto", 10, "full", "full"),
        ("full", 9, "int8", "full"),
        ("int8", 10, None, "int8"),
    ],
)
def test_choice_of_what_to_keep(kind: str, available: int | None, kept: str | None, chosen: str) -> None:
    full, int8 = (Memory(1, size, 1, 1, available) for size in (7, 4))
    assert choose(kind, full, int8, kept) == chosen
    assert choose(kind, full, None, kept) == "full", "dense attention has no choice"
    assert choose("auto", full, Memory(1, 8, 1, 1, available)) == "full", "where integers take more"


def test_limits_refuse_integers() -> None:
    short, less = (Memory(1, size, 1, 1, 5) for size in (7, 4))
    assert [choose(kind, short, less, "int8", "it is phi") for kind in ("auto", "full")] == ["full", "full"]
    with pytest.raises(HipError, match="--kv-cache int8: this model cannot: it is phi") as caught:
        choose("int8", short, None, limits="it is phi")
    assert (caught.value.exit_code, bool(caught.value.hint)) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("config", [HipConfig(backend="dense"), HipConfig(top_k=0)])
def test_without_a_search_there_are_no_summaries(config: HipConfig) -> None:
    assert budget.memory(LLAMA_8B, 131072, config, 2, None).summaries == 0


def test_wider_numbers_take_more() -> None:
    narrow, wide = (budget.memory(LLAMA_8B, 1000, HipConfig(), width, None) for width in (2, 4))
    assert wide.keys_and_values == 2 * narrow.keys_and_values
    assert wide.weights == 2 * narrow.weights


def test_weights_take_what_is_made_of_their_numbers() -> None:
    """Files of float32 or bfloat16 alike; a tied head is packed beside the embedding on a CPU, in 16 bits."""
    model = replace(LLAMA_8B, numbers=8 * GIB, tied_numbers=GIB)
    for width, on_gpu, expected in ((2, True, 16), (4, False, 32), (2, False, 18)):
        assert budget.memory(model, 1000, HipConfig(), width, None, on_gpu=on_gpu).weights == expected * GIB


def test_this_machine_has_memory() -> None:
    free = budget.available_memory("cpu")
    assert free is not None
    assert 2**20 < free < 2**50


def test_a_container_has_what_its_limit_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\n",
        "/sys/fs/cgroup/memory.max": "1000000\n",
        "/sys/fs/cgroup/memory.current": "700000\n",
        "/sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 100000\n",
    }
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: files[str(self)])
    assert budget.available_memory("cpu") == 400000
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert budget.available_memory("cpu") == 32000000 * 1024
