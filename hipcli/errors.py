"""The one exception a user meets, and the exit codes the shell sees."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of `hip`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DOES_NOT_FIT = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class HipError(Exception):
    """A failure whose cause is known: one line for the user and, where there is one, what to do about it.

    `message` is "WHERE: WHAT" in one line; `hint` is a complete instruction.
    """

    def __init__(self, message: str, hint: str | None = None, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


def first_line(error: BaseException) -> str:
    """The first line of what an exception of a library says, or its kind where it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
