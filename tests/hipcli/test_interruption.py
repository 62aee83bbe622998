"""Signals end hip with 128 + their number whenever they come, whatever the code in between makes of them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HIP = [sys.executable, "-m", "hipcli"]
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def started(body: str) -> "subprocess.Popen[str]":
    """A hip whose one command is `body`, which prints a line when the signal may come."""
    program = (
        "import sys, time, types\n"
        f"def app(**_):\n{body}\n"
        "sys.modules['hipcli.cli.app'] = types.SimpleNamespace(app=app)\n"
        "from hipcli.__main__ import main\nmain()\n"
    )
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def outcome(body: str, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
    with started(body) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err


WAIT = "print('ready', flush=True); time.sleep(60)"


@pytest.mark.parametrize("number", NUMBERS)
def test_signal_is_the_exit_status(number: signal.Signals) -> None:
    assert outcome(f"    {WAIT}", number) == (128 + number, "", "")


@pytest.mark.parametrize("error", ["ImportError('numpy')", "ValueError", "SystemExit(0)", "OSError(5, 'bad')"])
def test_signal_that_is_turned_into_an_error(error: str) -> None:
    body = f"    try:\n        {WAIT}\n    except BaseException:\n        raise {error}"
    assert outcome(body) == (143, "", "")


def test_signal_that_is_dropped_for_a_result() -> None:
    assert outcome(f"    try:\n        {WAIT}\n    except BaseException:\n        return 0") == (143, "", "")


def test_signal_that_is_dropped_comes_again() -> None:
    body = (
        f"    try:\n        {WAIT}\n    except BaseException:\n        pass\n    time.sleep(60)\n    print('went on')"
    )
    assert outcome(body) == (143, "", "")


def test_signal_in_a_destructor_comes_again() -> None:
    odd = f"    class Odd:\n        def __del__(self):\n            {WAIT}\n"
    body = f"{odd}    Odd()\n    time.sleep(60)\n    print('went on')"
    assert outcome(body) == (143, "", "")


def test_cleaning_up_is_not_disturbed() -> None:
    body = f"    try:\n        {WAIT}\n    finally:\n        time.sleep(0.5)\n        print('cleaned up')"
    assert outcome(body) == (143, "cleaned up\n", "")


def test_signal_that_is_ignored_stays_so() -> None:
    program = (
        "import signal\nfrom hipcli.interruption import Interruption\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nInterruption().begin()\n"
        "signal.raise_signal(signal.SIGHUP)\nprint('went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "went on\n")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize(
    ("delay", "number"),
    [(0.4, signal.SIGINT), (0.8, signal.SIGTERM), (1.3, signal.SIGINT), (1.9, signal.SIGHUP), (2.6, signal.SIGINT)],
)
def test_signal_while_a_model_is_imported_loaded_and_checked(
    tmp_path: Path, delay: float, number: signal.Signals
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The mill burned down in March. " * 200)
    command = [*HIP, "ask", "-q", "What burned?", "-o", str(tmp_path / "out"), str(note)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(delay)
        process.send_signal(number)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
