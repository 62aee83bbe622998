"""Prompts that are more than the window or the memory holds, from the shell's point of view."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes import FakeRuntime
from hip_attention import HipConfig
from hip_attention.rope_config import Yarn
from schemas import schema

from hipcli.cli.options import KvStorage

Run = Callable[..., Any]


def kept_as(fake: FakeRuntime) -> list[KvStorage]:
    return [plan.kv_cache for plan in fake.plans]


def test_too_long_for_the_window(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("word " * 5000)
    done = hip("summarize", "--positions", "exact", book)
    assert (done.code, done.out, fake.loads) == (3, "", 0)
    assert f"hip: error: {book}: needs " in done.err
    assert "more than the window of" in done.err
    assert "--model" in done.err
    assert "--positions auto" in done.err
    assert "--pages" not in done.err, "a text file has no pages"


def test_a_shorter_answer_is_offered_where_it_helps(hip: Run, fake: FakeRuntime, note: Path) -> None:
    exact = ("summarize", "--positions", "exact")
    done = hip(*exact, "-n", "8190", note)
    assert done.code == 3
    offered = done.err.split("--max-tokens ")[1].split(",")[0]
    assert hip(*exact, "-n", offered, note).code == 0
    assert hip(*exact, "-n", int(offered) + 1, note).code == 3


def test_each_goes_on_after_a_book_that_is_too_long(hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("word " * 5000)
    together = hip("summarize", "--attention", "dense", book, note)
    assert (together.code, together.out) == (3, "")
    assert "--each" in together.err
    done = hip("summarize", "--attention", "dense", "--each", book, note)
    assert done.code == 3
    assert "All is well." in done.out
    assert str(book) in done.err
    assert "--each" not in done.err


def test_too_much_for_the_memory(hip: Run, fake: FakeRuntime, note: Path) -> None:
    fake.available = 2**28
    done = hip("summarize", note)
    assert (done.code, done.out, fake.loads) == (3, "", 0)
    assert "more than is free" in done.err


@pytest.fixture
def tight(fake: FakeRuntime, tmp_path: Path) -> Path:
    """A book whose keys and values fit into memory as integers alone, and not as what they are."""
    book = tmp_path / "book.txt"
    book.write_text("word " * 5000)
    fake.shape = replace(fake.shape, layers=30, kv_heads=8, head_dim=64)
    full, int8 = (fake.memory(12000, HipConfig(packed_from=8192), kind).needed for kind in ("full", "int8"))
    fake.available = (full + int8) // 2
    return book


def test_where_memory_is_short_keys_and_values_are_kept_as_integers(hip: Run, fake: FakeRuntime, tight: Path) -> None:
    done = hip("summarize", "--json", tight)
    assert (done.code, kept_as(fake)) == (0, ["int8"])
    assert "hip: keys and values are kept as int8: " in done.err
    answer = json.loads(done.out)
    jsonschema.validate(answer, schema("answer.schema.json"))
    assert answer["attention"]["kv_cache"] == "int8"
    plan = json.loads(hip("summarize", "--dry-run", "--json", tight).out)
    jsonschema.validate(plan, schema("budget.schema.json"))
    memory = plan["readings"][0]["memory"]
    assert (memory["kv_cache"], memory["excess_gib"]) == ("int8", 0)
    assert "keys and values as int8 0." in hip("summarize", "--dry-run", tight).out
    fake.available = 2**40
    done = hip("summarize", "--json", tight)
    assert "int8" not in done.err and json.loads(done.out)["attention"]["kv_cache"] == "full"
    fake.available = 2**20
    done = hip("summarize", tight)
    assert done.code == 3 and "--kv-cache" not in done.err


def test_what_keys_and_values_are_kept_as_can_be_said(
    hip: Run, fake: FakeRuntime, tight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = hip("summarize", "--kv-cache", "full", tight)
    assert done.code == 3 and "--kv-cache int8" in done.err
    done = hip("summarize", "--kv-cache", "int8", "--attention", "streaming", tight)
    assert done.code == 0 and "int8" not in done.err
    assert hip("summarize", "--kv-cache", "int8", "--attention", "dense", tight).code == 2
    fake.available = 2**40
    monkeypatch.setenv("HIPCLI_KV_CACHE", "int8")
    assert hip("summarize", tight).code == 0
    fake.shape = replace(fake.shape, window=None)
    assert hip("summarize", "--attention", "dense", tight).code == 0
    assert kept_as(fake) == ["int8", "int8", "full"]


def test_dry_run_loads_no_weights(hip: Run, fake: FakeRuntime, note: Path) -> None:
    fake.available = 2**34
    done = hip("summarize", "--dry-run", note)
    assert (done.code, fake.loads, done.err) == (0, 0, "")
    assert done.out.splitlines()[-1] == "fits"
    assert "31 characters" in done.out
    assert "512 tokens" in done.out
    assert "16.00 GiB free" in done.out


def test_dry_run_says_by_how_much_it_does_not_fit(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("word " * 5000)
    done = hip("ask", "-q", "Who?", "--positions", "exact", "--dry-run", "--json", book)
    assert done.code == 3
    plan = json.loads(done.out)
    jsonschema.validate(plan, schema("budget.schema.json"))
    (reading,) = plan["readings"]
    assert reading["documents"][0]["tokens"] == 10000
    assert reading["excess_tokens"] == reading["total_tokens"] - 8192
    text = hip("ask", "-q", "Who?", "--positions", "exact", "--dry-run", book).out
    assert f"does not fit: {reading['excess_tokens']:,} tokens too many" in text


def test_a_book_beyond_the_window_is_read_with_packed_positions(
    hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path
) -> None:
    book = tmp_path / "book.txt"
    book.write_text("word " * 5000)
    done = hip("summarize", "--json", "--each", book, note)
    assert done.code == 0
    assert [plan.hip.packed_from for plan in fake.plans] == [8192, None], "each document by its own length"
    assert "beyond the 8,192 that" in done.err
    attention = json.loads(done.out)["attention"]
    assert (attention["positions"], attention["packed_from"]) == ("packed", 8192)
    assert "positions: packed" in hip("summarize", "--dry-run", book).out
    assert (attention["prefill"]["window"], [plan.hip.window for plan in fake.plans]) == (4096, [4096, 512])
    told = json.loads(hip("summarize", "--json", "--window", "512", book).out)["attention"]
    assert (told["prefill"]["window"], fake.plans[-1].hip.window) == (512, 512)
    # At least 64 sink + 512 window + 128 block_q + 16 block_k.
    assert hip("summarize", book, "--top-k", str(8192 - 720)).code == 0
    assert hip("summarize", book, "--top-k", str(8192 - 704)).code == 2, "more keys than the window has positions"


def test_a_book_beyond_the_window_of_qwen_is_read_with_stretched_positions(
    hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path
) -> None:
    fake.shape = replace(fake.shape, family="qwen2")
    books = [tmp_path / name for name in ("story.txt", "novel.txt", "saga.txt")]
    for book, words in zip(books, (5000, 10_000, 20_000), strict=True):
        book.write_text("word " * words)
    done = hip("ask", "--json", "-v", "-q", "Who?", books[0])
    assert "beyond the 8,192 that smollm2-135m was trained for: positions are stretched 2 times (YaRN)" in done.err
    assert "hip top_k=2048 refresh_interval=8 positions stretched 2 times" in done.err
    answer = json.loads(done.out)
    jsonschema.validate(answer, schema("answer.schema.json"))
    attention = answer["attention"]
    assert (attention["positions"], attention["yarn_factor"], attention["packed_from"]) == ("yarn", 2, None)
    done = hip("summarize", "--each", note, *books)
    assert [plan.yarn for plan in fake.plans] == [Yarn(2, 8192), None, Yarn(2, 8192), Yarn(4, 8192), None]
    assert fake.plans[-1].hip.packed_from == 8192, "four times the window is not enough"
    assert [line.rpartition(": positions are ")[2] for line in done.err.splitlines()] == [
        "stretched 2 times (YaRN)",
        "stretched 4 times (YaRN)",
        "packed",
    ]
    assert "positions: stretched 2 times (YaRN)" in hip("summarize", "--dry-run", books[0]).out
    plan = json.loads(hip("summarize", "--dry-run", "--json", books[1]).out)
    jsonschema.validate(plan, schema("budget.schema.json"))
    assert (plan["readings"][0]["positions"], plan["readings"][0]["yarn_factor"]) == ("yarn", 4)


def test_positions_stretched_by_force(hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path) -> None:
    story, saga = tmp_path / "story.txt", tmp_path / "saga.txt"
    story.write_text("word " * 5000)
    saga.write_text("word " * 20_000)
    yarn = ("summarize", "--positions", "yarn")
    assert hip(*yarn, "--each", story, note).err == ""
    assert hip(*yarn, "--attention", "dense", story).code == 0
    assert [plan.yarn for plan in fake.plans] == [Yarn(2, 8192), None, Yarn(2, 8192)]
    done = hip(*yarn, saga)
    assert (done.code, fake.loads) == (3, 2)
    assert "more than the window of smollm2-135m, stretched 4 times, holds" in done.err
    assert "--positions auto" in done.err
    fake.shape = replace(fake.shape, rope="llama3")
    done = hip(*yarn, story)
    assert (done.code, fake.loads) == (2, 2)
    assert "hip: error: --positions yarn: the model's positions are already scaled (llama3)" in done.err


def test_positions_asked_for(hip: Run, fake: FakeRuntime, note: Path) -> None:
    assert hip("summarize", "--positions", "packed", note).err == ""
    assert hip("summarize", note).err == ""
    assert [plan.hip.packed_from for plan in fake.plans] == [4096, None]
    fake.shape = replace(fake.shape, window=None)
    assert hip("summarize", "--positions", "packed", note).code == 0
    assert hip("summarize", "--attention", "dense", "--positions", "packed", note).code == 2


@pytest.fixture
def limited(fake: FakeRuntime) -> FakeRuntime:
    """A model that transformers runs."""
    fake.limits = "olmo2 models are run by transformers"
    return fake


@pytest.mark.parametrize("option", [("--positions", "packed"), ("--positions", "yarn"), ("--kv-cache", "int8")])
def test_a_model_that_transformers_runs_refuses_what_it_lacks(
    hip: Run, limited: FakeRuntime, note: Path, option: tuple[str, str]
) -> None:
    done = hip("summarize", *option, note)
    assert (done.code, done.out, limited.loads) == (2, "", 0)
    error, hint = done.err.splitlines()
    assert error == f"hip: error: {' '.join(option)}: this model cannot: {limited.limits}"
    assert hint.startswith(f"hint: say {option[0]} ")


def test_the_context_of_a_model_that_transformers_runs_ends_with_its_window(
    hip: Run, limited: FakeRuntime, tight: Path
) -> None:
    limited.available = None
    done = hip("summarize", tight)
    assert (done.code, done.out, limited.loads) == (3, "", 0)
    assert "more than the window of" in done.err and "--model" in done.err
    assert "--positions" not in done.err
    limited.shape = replace(limited.shape, window=2**20)
    assert hip("summarize", tight).code == 0
    limited.available = limited.memory(10_000, HipConfig(), "full").needed
    done = hip("summarize", tight)
    assert done.code == 3 and "more than is free" in done.err
    assert "--kv-cache" not in done.err, "it has no integers"
    assert kept_as(limited) == ["full"]
