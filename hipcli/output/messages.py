"""Messages on standard error: errors, warnings and notices, each in one line that steers no terminal."""

import contextlib
import sys

from hipcli.errors import HipError
from hipcli.output.printable import printable

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Turn the output of `say` and `warn` off or on. Errors are always printed."""
    global _quiet
    _quiet = quiet


def report(error: HipError) -> None:
    """Print `hip: error: MESSAGE` and the hint, if there is one, on standard error."""
    _print(f"hip: error: {error.message}")
    if error.hint:
        _print(f"hint: {error.hint}")


def report_internal(error: BaseException) -> None:
    """Print an exception that no code expected, and that it is a bug."""
    _print(f"hip: internal error: {type(error).__name__}: {error}")
    _print("hint: this is a bug in hip; set HIPCLI_DEBUG=1 to see where it happened")


def report_trace(error: BaseException) -> None:
    """Print where in the code an exception comes from, in many lines."""
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        _print(line)


def warn(text: str) -> None:
    """Print `hip: warning: TEXT` on standard error, unless the user asked for quiet."""
    if not _quiet:
        _print(f"hip: warning: {text}")


def say(text: str) -> None:
    """Print a notice on standard error, unless the user asked for quiet."""
    if not _quiet:
        _print(text)


def counted(number: int, thing: str) -> str:
    """`1 page`, `1,200 pages`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def one_line(text: str) -> str:
    """`text` on one line, for file names, titles and messages: line feeds and tabs become spaces, and what a terminal
    would obey or hide an escape, wherever the line goes.
    """
    return printable(text.replace("\n", " ").replace("\t", " "))


def _print(text: str) -> None:
    # Failing to print a message must not stop the work that the message is about.
    with contextlib.suppress(OSError):
        print(one_line(text), file=sys.stderr, flush=True)
