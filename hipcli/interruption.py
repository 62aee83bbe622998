"""The signals that end hip: Ctrl-C, SIGTERM, and SIGHUP, which comes where a terminal is closed."""

import os
import signal
import sys
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 0.1


class Interruption:
    """Raises KeyboardInterrupt when a signal comes, between `begin` and `end`, and takes a note of it.

    Libraries turn it into errors of theirs, or drop it, above all while they are imported. So it is raised again where
    it was dropped, and the note is what decides the exit status, whatever came out of a run.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None  # 128 + the number of the first signal, as shells have it
        self._raises = True

    def begin(self) -> None:
        """Handle the signals. One that is ignored, as SIGHUP is below nohup, stays so."""
        signal.signal(signal.SIGALRM, self._repeat)
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._interrupt)

    def end(self) -> None:
        """Raise no more: from now on a signal ends the process at once, without a word."""
        self._raises = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._raises:
            os._exit(self.exit_code or 128 + number)
        if self.exit_code is None:
            self.exit_code = 128 + number
            # Python prints what is raised in a destructor, and goes on.
            sys.unraisablehook = lambda _: None
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
        raise KeyboardInterrupt

    def _repeat(self, number: int, frame: FrameType | None) -> None:
        # While it is handled, files are removed and sessions saved: that is left to end.
        if self._raises and not _is_handled():
            raise KeyboardInterrupt


def _is_handled() -> bool:
    """Whether the code that a signal came in between is an `except`, `finally` or `with` on the way out.

    A generator that nobody needs any more is closed by a GeneratorExit.
    """
    error = sys.exception()
    while error is not None and not isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        error = error.__context__
    return error is not None
