"""Messages on standard error: errors, warnings and notices, and how text is made safe to print."""

import contextlib
import sys
import unicodedata

from hipcli.errors import HipError

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


def warn(text: str) -> None:
    """Print `hip: warning: TEXT` on standard error, unless the user asked for quiet."""
    if not _quiet:
        _print(f"hip: warning: {text}")


def say(text: str) -> None:
    """Print a notice on standard error, unless the user asked for quiet."""
    if not _quiet:
        _print(text)


def one_line(text: str) -> str:
    """`text` on one line: line feeds and tabs become spaces, other control characters are removed.

    Meant for file names, which may contain any of them.
    """
    return printable(text.replace("\n", " ").replace("\t", " "))


def printable(text: str) -> str:
    """`text` with control characters removed, except line feed and tab: a terminal would act on the others."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def _print(text: str) -> None:
    # Failing to print a message must not stop the work that the message is about.
    with contextlib.suppress(OSError):
        print(one_line(text), file=sys.stderr, flush=True)
