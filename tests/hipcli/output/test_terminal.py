"""What commands show on a terminal steers it nowhere, whatever stands in documents, names and arguments."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

FAKE = Path(__file__).parents[2] / "fakes.py"
HIP = [sys.executable, "-m", "hipcli"]
FAKE_HIP = [sys.executable, str(FAKE), "0", "1"]
EVIL = "a\x1b[2J\x1b]0;owned\x07\x9b3J\u202egpj\nread: b"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07\x9b3J\u202egpj"
# What Rich writes for its bar: colours, moving the cursor, clearing a line, hiding the cursor.
OWN = re.compile(r"\x1b\[(\d*(;\d+)*m|\d*[ABCDGK]|\?25[lh])")
DANGEROUS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def on_terminal(*command: str | Path, **environment: str) -> str:
    """What a command shows on a terminal that is both its outputs."""
    master, slave = pty.openpty()
    variables = {**os.environ, "COLUMNS": "500", **environment}
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=variables):
        os.close(slave)
        shown = b""
        try:
            while piece := os.read(master, 4096):
                shown += piece
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(master)
    return OWN.sub("", shown.decode())


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A folder with a text and a damaged file, both hostile by name, and the text by its content."""
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / f"{EVIL}.txt").write_text(f"text {EVIL}")
    (folder / f"{EVIL}.pdf").write_bytes(b"%PDF-1.4 nothing")
    return folder


@pytest.mark.parametrize("options", [[], ["--report"], ["--json"]])
def test_extract(evil: Path, options: list[str]) -> None:
    shown = on_terminal(*HIP, "extract", *options, evil)
    assert not DANGEROUS.search(shown)
    assert shown.count("owned") >= 2  # the error, and the text or the line
    if options != ["--json"]:
        assert SHOWN in shown


def test_report_has_a_line_a_file(evil: Path) -> None:
    done = subprocess.run([*HIP, "extract", "--report", str(evil)], capture_output=True, text=True, check=False)
    first, second = sorted(done.stdout.splitlines())
    assert first.startswith("failed: ") and second.startswith("read: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["summarize", "--dry-run"],
        ["summarize", "--dry-run", "--json"],
        ["summarize", "--json"],
        ["summarize", "--each"],
        ["ask", "-q", EVIL, "-q", "Who?"],
        ["summarize", "--dry-run", "--model", EVIL],
    ],
)
def test_runs(evil: Path, arguments: list[str]) -> None:
    shown = on_terminal(*FAKE_HIP, *arguments, evil)
    assert "owned" in shown
    assert not DANGEROUS.search(shown)


@pytest.mark.parametrize(
    "arguments",
    [
        [EVIL],
        ["extract", f"--{EVIL}"],
        ["extract", "--ocr", EVIL],
        ["extract", "--pages", EVIL, "x"],
        ["extract", "--encoding", EVIL, "x"],
        ["extract", EVIL],
        ["summarize", "--prompt", EVIL, "x"],
        ["--config", EVIL, "cache", "ls"],
        ["cache", "rm", EVIL],
        ["cache", "prune", "--max-size", EVIL],
        ["doctor", "--model", EVIL],
        ["eval", EVIL],
        ["ask", "--questions", EVIL],
    ],
)
def test_arguments_that_are_quoted(arguments: list[str], tmp_path: Path) -> None:
    shown = on_terminal(*HIP, *arguments, HIPCLI_CACHE_DIR=str(tmp_path / "cache"))
    assert "owned" in shown
    assert not DANGEROUS.search(shown)


@pytest.mark.parametrize("arguments", [["cache", "ls"], ["models", "list"], ["cache", "ls", "--json"]])
def test_folders_with_hostile_names(arguments: list[str], tmp_path: Path) -> None:
    for place in ("sessions", "models", "hub"):
        (tmp_path / place / EVIL).mkdir(parents=True)
    shown = on_terminal(*HIP, *arguments, HIPCLI_CACHE_DIR=str(tmp_path), HF_HUB_CACHE=str(tmp_path / "hub"))
    assert not DANGEROUS.search(shown)


def test_where_a_bug_is(tmp_path: Path) -> None:
    program = (
        f"import sys, types\ndef app(**_): raise ValueError({EVIL!r})\n"
        "sys.modules['hipcli.cli.app'] = types.SimpleNamespace(app=app)\nfrom hipcli.__main__ import main\nmain()\n"
    )
    shown = on_terminal(sys.executable, "-c", program, HIPCLI_DEBUG="1")
    assert "Traceback" in shown
    assert not DANGEROUS.search(shown)
