"""Fixtures for all tests: private directories, and a model that only pretends to be one."""

import io
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# As hip itself does before it imports torch, which tests import earlier.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# For tests/fakes.py, which also runs as a program.
sys.path.append(str(Path(__file__).parent))

# A shell starts background jobs with Ctrl-C ignored, and whatever tests start would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from fakes import FakeRuntime


@pytest.fixture(autouse=True)
def private_directories(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep tests away from the user's settings and cache; only tests of the real model share its cache."""
    for name in [name for name in os.environ if name.startswith("HIPCLI_")]:
        if name != "HIPCLI_CACHE_DIR":
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    if not request.node.get_closest_marker("model"):
        monkeypatch.setenv("HIPCLI_CACHE_DIR", str(home / "cache"))


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uninitialised memory is NaN, so that an output that is not written fails."""
    import torch

    def poisoned(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def made(*arguments: Any, **options: Any) -> torch.Tensor:
            tensor = make(*arguments, **options)
            return tensor.fill_(torch.nan) if tensor.is_floating_point() else tensor

        return made

    monkeypatch.setattr(torch, "empty", poisoned(torch.empty))
    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned(torch.Tensor.new_empty))


@dataclass(frozen=True)
class Finished:
    """What a run of hip left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> "FakeRuntime":
    """The model that every command of this test will find."""
    from fakes import FakeRuntime, install

    return install(FakeRuntime(), monkeypatch.setattr)


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("The mill burned down in March.\n")
    return path


class _Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def hip(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Run `hip ARGUMENT...` in this process, all the way through main(), with bytes or a terminal as its input."""

    def run(*arguments: str | Path, stdin: bytes | None = None) -> Finished:
        from hipcli.__main__ import main

        capfd.readouterr()
        stream = _Terminal() if stdin is None else io.BytesIO(stdin)
        monkeypatch.setattr(sys, "argv", ["hip", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
        handlers = {number: signal.getsignal(number) for number in numbers}
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        captured = capfd.readouterr()
        return Finished(int(code or 0), captured.out, captured.err)

    return run
