"""hip as a process: pipes that break, streams that are closed, signals, terminals, and what it imports."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FAKE = Path(__file__).parents[1] / "fakes.py"
HIP = [sys.executable, "-m", "hipcli"]


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("The mill burned down in March. " * 20)
    return path


def fake_hip(delay: float, lines: int, *arguments: str | Path) -> list[str]:
    return [sys.executable, str(FAKE), str(delay), str(lines), *map(str, arguments)]


def run(command: list[str], **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


def shell(script: str, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run `command` as "$@" in a bash script."""
    return run(["bash", "-c", script, "bash", *command])


def test_broken_pipe_stops_the_answer_silently(note: Path) -> None:
    start = time.monotonic()
    done = shell('"$@" | head -1; exit ${PIPESTATUS[0]}', *fake_hip(0.01, 5000, "summarize", note))
    assert (done.returncode, done.stdout, done.stderr) == (141, "line 0\n", "")
    assert time.monotonic() - start < 20, "the other 4,999 lines take 50 seconds"


def test_broken_pipe_while_help_is_printed() -> None:
    done = shell('"$@" | true; exit ${PIPESTATUS[0]}', *HIP, "ask", "--help")
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_full_disk_behind_standard_output(note: Path, option: list[str]) -> None:
    done = shell('"$@" > /dev/full', *fake_hip(0, 3, "summarize", note, *option))
    assert done.returncode == 1
    assert done.stderr == "hip: error: standard output: No space left on device\n"


def test_full_disk_while_help_is_printed() -> None:
    done = shell('"$@" > /dev/full', *HIP, "--help")
    assert (done.returncode, done.stderr) == (1, "hip: error: No space left on device\n")


def test_full_disk_behind_standard_error(note: Path) -> None:
    done = shell('"$@" 2> /dev/full', *fake_hip(0, 1, "summarize", "-v", note))
    assert (done.returncode, done.stdout) == (0, "line 0\n")


def test_closed_standard_input(note: Path) -> None:
    done = shell('"$@" <&-', *fake_hip(0, 1, "summarize", note))
    assert (done.returncode, done.stdout, done.stderr) == (0, "line 0\n", "")


@pytest.mark.parametrize("path", [[], ["-"]])
def test_closed_standard_input_as_the_document(path: list[str]) -> None:
    done = shell('"$@" <&-', *fake_hip(0, 1, "summarize", *path))
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("hip: error: ")
    assert "internal" not in done.stderr


def test_closed_standard_output_is_an_answer_lost(note: Path) -> None:
    done = shell('"$@" >&-', *fake_hip(0, 1, "summarize", note))
    assert (done.returncode, done.stderr) == (1, "hip: error: standard output: Bad file descriptor\n")


def test_closed_standard_output_does_not_matter_to_a_file(note: Path, tmp_path: Path) -> None:
    done = shell('"$@" >&-', *fake_hip(0, 1, "summarize", note, "-o", tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out").read_text() == "line 0\n"


def test_closed_standard_error(note: Path, tmp_path: Path) -> None:
    done = shell('"$@" 2>&-', *fake_hip(0, 1, "summarize", note, tmp_path / "missing"))
    assert (done.returncode, done.stdout) == (1, "line 0\n")


def test_everything_closed(note: Path, tmp_path: Path) -> None:
    command = fake_hip(0, 1, "summarize", note, "-o", tmp_path / "out")
    assert shell('"$@" <&- >&- 2>&-', *command).returncode == 0
    assert (tmp_path / "out").read_text() == "line 0\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_answering(note: Path, number: signal.Signals, code: int) -> None:
    # Lines without an end would be cut in the middle; what was printed stays, and the line is ended.
    with subprocess.Popen(
        fake_hip(0.2, 200, "summarize", note), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "line 0\n"
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(10) == code
        assert re.fullmatch(r"(line \d+\n)*", rest)
        assert process.stderr.read() == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_reading(note: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    # Five steps of 60 seconds: the signal comes in the first. -v is not needed to know when: the file of the
    # answer is made before the model is opened.
    with subprocess.Popen(
        fake_hip(60, 1, "summarize", note, "-o", tmp_path / "out"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".out.*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (code, b"", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["note.txt"]


def wait_for_handlers(process: "subprocess.Popen[bytes]") -> None:
    """Wait until hip handles SIGTERM, and then a little longer: before that the interpreter starts and imports."""
    status, deadline = Path(f"/proc/{process.pid}/status"), time.monotonic() + 60
    while time.monotonic() < deadline:
        caught = int(re.search(r"SigCgt:\t(\w+)", status.read_text()).group(1), 16) if status.exists() else 0  # type: ignore[union-attr]
        if caught >> (signal.SIGTERM - 1) & 1:
            break
        time.sleep(0.05)
    time.sleep(1)


def test_json_interrupted_prints_nothing(note: Path) -> None:
    with subprocess.Popen(
        fake_hip(0.1, 500, "summarize", "--json", note), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_for_handlers(process)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == 130


def on_terminal(command: list[str]) -> str:
    """What `command` shows on a terminal that is both its outputs."""
    master, slave = pty.openpty()
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, close_fds=True) as process:
        os.close(slave)
        shown = b""
        try:
            while piece := os.read(master, 4096):
                shown += piece
        except OSError:  # how Linux says that the other end is closed
            pass
        process.wait(30)
    os.close(master)
    return shown.decode()


def test_terminal_shows_progress_and_statistics(note: Path) -> None:
    shown = on_terminal(fake_hip(0.2, 2, "summarize", note))
    assert "Prefill" in shown
    assert "tok/s" in shown
    assert re.search(r"line 0\r\nline 1\r\n.*decode", shown, re.DOTALL)


def test_quiet_terminal_shows_the_answer_alone(note: Path) -> None:
    assert on_terminal(fake_hip(0, 2, "summarize", "--quiet", note)) == "line 0\r\nline 1\r\n"


def test_terminal_is_safe_from_the_model(note: Path, tmp_path: Path) -> None:
    program = tmp_path / "hostile.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(FAKE.parent)!r})\n"
        "import fakes; from hipcli.__main__ import main\n"
        "fakes.install(fakes.FakeRuntime(pieces=['red \\x1b[31malert', '\\x9b2J\\a\\b', '\\ttab']))\n"
        "main()\n"
    )
    shown = on_terminal([sys.executable, str(program), "summarize", "--quiet", str(note)])
    assert shown.expandtabs() == "red \\x1b[31malert\\x9b2J\\x07\\x08\ttab\r\n".expandtabs()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["ask", "--help"], ["summarize", "--help"], ["chat", "--help"], ["cache", "ls"]],
)
def test_help_and_version_are_light(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom hipcli.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'jinja2', 'pypdf', 'pypdfium2', 'huggingface_hub'}\n"
        "heavy = (heavy | {'prompt_toolkit'}) & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = run([sys.executable, "-c", program, *arguments])
    assert (done.returncode, done.stderr) == (0, "")


def test_text_is_read_without_the_libraries_for_pdfs(note: Path) -> None:
    program = (
        f"import sys\nsys.path.insert(0, {str(FAKE.parent)!r})\n"
        "import fakes\nfrom hipcli.__main__ import main\nfakes.install(fakes.FakeRuntime())\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "assert not {'pypdf', 'pypdfium2'} & set(sys.modules)\n"
    )
    done = run([sys.executable, "-c", program, "summarize", "--quiet", str(note)])
    assert (done.returncode, done.stderr) == (0, "")


def test_piped_input_equals_the_file(note: Path) -> None:
    piped = shell(f'cat "{note}" | "$@"', *fake_hip(0, 2, "summarize", "-"))
    assert (piped.returncode, piped.stdout, piped.stderr) == (0, "line 0\nline 1\n", "")
