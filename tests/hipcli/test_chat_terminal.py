"""`hip chat` on a pseudo-terminal: typing, several lines, history, and Ctrl-C in all places."""

import fcntl
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FAKE = Path(__file__).parents[1] / "fakes.py"
ENTER, LINE_BREAK, UP, CTRL_C, CTRL_D = "\r", "\x1b\r", "\x1b[A", "\x03", "\x04"
_BEGINS = "\x1b[?2004h"  # a prompt lets the terminal mark what is pasted
_PROMPT = "[prompt]"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07")


class Terminal:
    """A hip on a terminal of its own, as somebody sees it who types."""

    def __init__(self, command: list[str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self._before = termios.tcgetattr(slave)

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=take_terminal,
            env=os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        )  # fmt: skip
        self._slave = slave
        self._raw = b""

    @property
    def shown(self) -> str:
        return _CONTROL.sub("", self._raw.decode(errors="replace").replace(_BEGINS, _PROMPT))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """What is shown up to and including `text`, which is then behind."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} is not shown, but {self.shown!r}")
        before, _, rest = self.shown.partition(text)
        self._raw = rest.encode()
        return before + text

    def wait_for_prompt(self) -> str:
        """As `wait_for`, up to a prompt that takes what is typed."""
        shown = self.wait_for(_PROMPT)
        deadline = time.monotonic() + 10
        while termios.tcgetattr(self._slave)[3] & termios.ICANON and time.monotonic() < deadline:
            time.sleep(0.01)
        return shown

    def end(self) -> tuple[int, str]:
        """Exit status, and what else was shown."""
        code = self.process.wait(30)
        while self._read(time.monotonic() + 0.2):
            pass
        return code, self.shown

    def is_restored(self) -> bool:
        return termios.tcgetattr(self._slave) == self._before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._slave)
        os.close(self._master)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if ready:
            self._raw += os.read(self._master, 4096)
        return bool(ready)


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("The mill burned down in March. " * 5)
    return path


@pytest.fixture
def chat(note: Path) -> Iterator[Callable[..., Terminal]]:
    """A conversation about the note; answers are lines, each after a delay in seconds."""
    terminals = []

    def start(*options: str, delay: float = 0.0, lines: int = 2) -> Terminal:
        command = [sys.executable, str(FAKE), str(delay), str(lines), "chat", "--quiet", *options, str(note)]
        terminals.append(Terminal(command))
        terminals[-1].wait_for_prompt()
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()


Chat = Callable[..., Terminal]


def test_a_question_is_answered_and_ctrl_d_leaves(chat: Chat) -> None:
    terminal = chat()
    terminal.type("When?" + ENTER)
    assert "line 0\r\nline 1\r\n" in terminal.wait_for_prompt()
    terminal.type(CTRL_D)
    assert terminal.end()[0] == 0
    assert terminal.is_restored()


def test_several_lines_and_history(chat: Chat, tmp_path: Path) -> None:
    terminal, saved = chat(), tmp_path / "talk.md"
    terminal.type("One line" + LINE_BREAK + "and another?" + ENTER)
    terminal.wait_for("line 1")
    terminal.wait_for_prompt()
    terminal.type(f"/save {saved}" + ENTER)
    terminal.wait_for("1 question")
    assert "> One line\n> and another?\n\nline 0\nline 1\n" in saved.read_text()
    terminal.wait_for_prompt()
    terminal.type("/quit" + ENTER)
    assert terminal.end()[0] == 0
    history = Path(os.environ["HIPCLI_CACHE_DIR"]) / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    again = chat()
    again.type(UP + UP)
    again.wait_for(str(saved))
    again.type(CTRL_C + CTRL_D)
    assert again.end()[0] == 0


def test_the_first_ctrl_c_stops_an_answer_and_what_is_there_counts(chat: Chat, tmp_path: Path) -> None:
    terminal, saved = chat(delay=0.2, lines=500), tmp_path / "talk.md"
    terminal.type("When?" + ENTER)
    terminal.wait_for("line 1\r\n")
    terminal.type(CTRL_C)
    shown = terminal.wait_for_prompt()
    assert len(re.findall(r"line \d+", shown)) <= 2
    terminal.type(f"/save {saved}" + ENTER)
    terminal.wait_for("1 question")
    said = re.search(r"> When\?\n\nline 0\nline 1\n(line 2\n)?(line 3\n)?", saved.read_text())
    assert said and saved.read_text().endswith("*(stopped: interrupted)*\n")
    terminal.wait_for_prompt()
    terminal.type("And then?" + ENTER)
    terminal.wait_for("line 0\r\n")
    terminal.type(CTRL_C)
    terminal.wait_for_prompt()
    terminal.type(CTRL_C)
    assert terminal.end()[0] == 130, "at an empty prompt it leaves"
    assert terminal.is_restored()


def test_a_second_ctrl_c_leaves_while_an_answer_goes_on(chat: Chat) -> None:
    terminal = chat(delay=1.0, lines=500)
    terminal.type("When?" + ENTER)
    terminal.wait_for("line 0\r\n")
    terminal.type(CTRL_C)
    terminal.wait_for("^C")
    time.sleep(0.3)  # two signals that come before the process runs are one
    terminal.type(CTRL_C)
    code, shown = terminal.end()
    assert (code, "line 2" in shown, "Traceback" in shown) == (130, False, False)


def test_an_answer_that_is_stopped_before_it_begins_is_forgotten(chat: Chat) -> None:
    terminal = chat(delay=1.0)
    terminal.type("When?" + ENTER)
    terminal.wait_for("\r\n")
    time.sleep(0.3)
    terminal.type(CTRL_C)
    assert "hip: error: stopped before there was an answer; the question is forgotten" in terminal.wait_for_prompt()
    terminal.type("/undo" + ENTER)
    terminal.wait_for("/undo: nothing was asked yet")


def test_ctrl_c_empties_what_is_typed(chat: Chat) -> None:
    terminal = chat()
    terminal.type("Nonsense" + CTRL_C + "/nosuch" + ENTER)
    assert "/nosuch: no such command" in terminal.wait_for("no such command")
    terminal.wait_for_prompt()
    terminal.type(CTRL_C)
    assert terminal.end()[0] == 130


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_at_the_prompt_leave_the_terminal_as_it_was(chat: Chat, number: signal.Signals, code: int) -> None:
    terminal = chat()
    terminal.process.send_signal(number)
    left, shown = terminal.end()
    assert (left, "Traceback" in shown) == (code, False)
    assert terminal.is_restored()


def test_a_terminal_that_is_closed_ends_the_conversation(chat: Chat) -> None:
    terminal = chat()
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.end()[0] == 129


def test_answers_and_names_cannot_steer_the_terminal(note: Path, tmp_path: Path) -> None:
    hostile = note.rename(tmp_path / "no\x1b[31mte.txt")
    program = tmp_path / "hostile.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(FAKE.parent)!r})\n"
        "import fakes; from hipcli.__main__ import main\n"
        "fakes.install(fakes.FakeRuntime(pieces=['red \\x1b[31malert', '\\x9b2J\\a']))\n"
        "main()\n"
    )
    terminal = Terminal([sys.executable, str(program), "chat", "--quiet", str(hostile)])
    try:
        terminal.wait_for_prompt()
        terminal.type("When?" + ENTER)
        terminal.wait_for("red \\x1b[31malert\\x9b2J\\x07\r\n")
        terminal.wait_for_prompt()
        terminal.type("/pages" + ENTER)
        terminal.wait_for("no\\x1b[31mte.txt: ")
    finally:
        terminal.close()
