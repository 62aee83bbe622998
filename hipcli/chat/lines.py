"""Where questions and commands come from: somebody who types, or a pipe with one a line."""

import os
import sys
from typing import TYPE_CHECKING, BinaryIO, Protocol

from hipcli.disk import files, paths

if TYPE_CHECKING:
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

PROMPT = "> "


class Lines(Protocol):
    """Questions and commands, one after the other."""

    terminal: bool

    def read(self) -> str | None:
        """The next one, which may have several lines; None at the end. Raises KeyboardInterrupt for Ctrl-C."""


class Piped:
    """One a line."""

    terminal = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self) -> str | None:
        line = self._stream.readline()
        return line.decode("utf-8", "replace").rstrip("\r\n") if line else None


class Typed:
    """A prompt on the terminal: Enter ends the input, Alt-Enter a line of it; arrows go through the history.

    Ctrl-C empties the input, or ends the conversation where it is empty; Ctrl-D ends it, too. The prompt is shown on
    standard error where standard output is no terminal.
    """

    terminal = True

    def __init__(self, history: "History") -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.output import create_output

        shown = sys.stdout if sys.stdout.isatty() else sys.stderr
        self._session: PromptSession[str] = PromptSession(
            PROMPT, multiline=True, prompt_continuation=" " * len(PROMPT), key_bindings=_keys(), history=history,
            output=create_output(shown), enable_open_in_editor=False,
        )  # fmt: skip

    def read(self) -> str | None:
        try:
            return self._session.prompt()
        except EOFError:
            return None


def open_history() -> "History":
    """What was typed in earlier conversations, in a file that nobody else can read. Raises HipError."""
    from prompt_toolkit.history import FileHistory

    path = paths.history_file()
    with files.cache_errors():
        paths.private_dir(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
    return FileHistory(str(path))


def _keys() -> "KeyBindings":
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def send(event: "KeyPressEvent") -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def break_line(event: "KeyPressEvent") -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def interrupt(event: "KeyPressEvent") -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return keys
