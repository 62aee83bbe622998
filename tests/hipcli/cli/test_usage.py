"""Wrong usage: exit code 2, one line naming what is wrong, and nothing on standard output."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRuntime

from hipcli import __version__

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["summarise", "a"], "summarize"),
        (["summarize", "--topk", "5", "a"], "--top-k"),
        (["summarize", "--top-k", "many", "a"], "--top-k"),
        (["summarize", "--top-k", "-16", "a"], "--top-k"),
        (["summarize", "--top-k", "17", "a"], "--top-k must be a multiple of"),
        (["summarize", "--top-k", "0", "a"], "--top-k 0"),
        (["summarize", "--window", "1", "a"], "--window must be at least"),
        (["summarize", "--sink", "5", "a"], "--sink must be a multiple of"),
        (["summarize", "--refresh-interval", "0", "a"], "--refresh-interval"),
        (["summarize", "--attention", "sparse", "a"], "--attention"),
        (["summarize", "--attention", "dense", "--top-k", "512", "a"], "--top-k has no effect with --attention dense"),
        (["summarize", "--attention", "streaming", "--selector", "summary", "a"], "--selector has no effect"),
        (["summarize", "--temperature", "-1", "a"], "--temperature"),
        (["summarize", "--top-p", "0.5", "a"], "--top-p has no effect with --temperature 0"),
        (["summarize", "-t", "1", "--top-p", "0", "a"], "--top-p must be above 0"),
        (["summarize", "--top-p", "1.5", "a"], "--top-p"),
        (["summarize", "-n", "0", "a"], "--max-tokens"),
        (["summarize", "--device", "tpu", "a"], "--device tpu"),
        (["summarize", "--dtype", "int3", "a"], "--dtype"),
        (["summarize", "--length", "huge", "a"], "--length"),
        (["summarize", "--param", "novalue", "a"], "--param novalue"),
        (["summarize", "--param", "style=x", "a"], "--param style"),
        (["summarize", "--prompt", "sumarize", "a"], "prompt sumarize"),
        (["summarize", "--pages", "x-y", "a"], "x-y"),
        (["summarize", "-v", "--quiet", "a"], "--verbose and --quiet"),
        (["ask", "a"], "no question"),
        (["ask", "-q", " ", "a"], "--question"),
        (["ask", "--questions", "/nonexistent", "a"], "--questions /nonexistent"),
        (["ask", "--questions", "/dev/null", "a"], "--questions /dev/null: no question"),
        (["--config", "/nonexistent", "ask", "-q", "Who?", "a"], "/nonexistent"),
    ],
)
def test_usage_errors_name_the_culprit(hip: Run, fake: FakeRuntime, arguments: list[str], named: str) -> None:
    done = hip(*arguments)
    assert (done.code, done.out) == (2, "")
    first, *rest = done.err.splitlines()
    assert first.startswith("hip: error: ")
    assert named in first + "".join(rest)
    assert all(line.startswith("hint: ") for line in rest)
    assert fake.settings is None, "no model was opened"


def test_idle_options_from_the_environment_do_no_harm(
    hip: Run, fake: FakeRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setenv("HIPCLI_TOP_K", "512")
    monkeypatch.setenv("HIPCLI_TOP_P", "0.5")
    assert hip("summarize", "--attention", "dense", tmp_path / "a.txt").code == 0


def test_help_is_printed_for_want_of_arguments(hip: Run) -> None:
    done = hip()
    assert done.code == 2
    assert "Usage: hip" in done.out
    assert done.err == ""


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(hip: Run, flag: str) -> None:
    done = hip(flag)
    assert (done.code, done.err) == (0, "")
    for command in ("summarize", "ask", "extract", "models", "doctor"):
        assert command in done.out


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(hip: Run, flag: str) -> None:
    done = hip(flag)
    assert (done.code, done.out, done.err) == (0, f"hip {__version__}\n", "")


def test_help_shows_the_defaults(hip: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from hip_attention.config import HipConfig

    monkeypatch.setenv("COLUMNS", "200")
    out = hip("ask", "--help").out
    for field in ("top_k", "window", "refresh_interval"):
        assert f"Unless said: {getattr(HipConfig(), field)}," in out
    assert f"[default: {HipConfig().sink}]" in out
    assert "[default: hip]" in out
