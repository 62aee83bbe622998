"""A bar on standard error while something takes long: only on a terminal, and gone when it is over."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hipcli.output.messages import one_line

Update = Callable[[int, int | None], None]

_RECENT_S = 15.0
_LEAST_NOTES = 4  # where one step takes longer than that


@contextmanager
def progress(label: str, enabled: bool) -> Iterator[Update]:
    """Show `label` with a spinner; the function yielded takes tokens done and tokens in total, if that is known.

    Does nothing unless `enabled`, or where standard error is no terminal.
    """
    # FORCE_COLOR makes Rich take any stream for a terminal, hence the plain question.
    if not enabled or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[rate]}", markup=False),
    )
    pace = Pace()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(one_line(label), total=None, rate="")

        def update(done: int, total: int | None) -> None:
            pace.note(done, time.monotonic())
            bar.update(task, completed=done, total=total, rate=rate(done, total, pace.speed))

        yield update


class Pace:
    """Speed over the last seconds, which tells more than the average: attention slows down as the text grows, and
    what a session keeps is there at once.
    """

    def __init__(self) -> None:
        self._notes: deque[tuple[float, int]] = deque()  # time and tokens done, oldest first

    def note(self, done: int, now: float) -> None:
        """Take down that `done` tokens are done at second `now`."""
        self._notes.append((now, done))
        while len(self._notes) > _LEAST_NOTES and now - self._notes[1][0] >= _RECENT_S:
            self._notes.popleft()

    @property
    def speed(self) -> float:
        """Tokens a second; 0 while nobody can tell."""
        (begin, first), (end, last) = self._notes[0], self._notes[-1]
        return (last - first) / (end - begin) if end > begin else 0.0


def rate(done: int, total: int | None, speed: float) -> str:
    """`84,310 / 212,004 tokens · 9,870 tok/s · 0:12 left`, as far as it is known at `speed` tokens a second."""
    parts = [f"{done:,} tokens" if total is None else f"{done:,} / {total:,} tokens"]
    if speed > 0:
        parts.append(f"{speed:,.0f} tok/s")
        if total is not None:
            parts.append(f"{_clock(round((total - done) / speed))} left")
    return " · ".join(parts)


def _clock(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
