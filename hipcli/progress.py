"""A bar on standard error while something takes long: only on a terminal, and gone when it is over."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Update = Callable[[int, int | None], None]


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
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[rate]}"),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None, rate="")

        def update(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total, rate=rate(done, total, time.monotonic() - start))

        yield update


def rate(done: int, total: int | None, elapsed: float) -> str:
    """`84,310 / 212,004 tokens · 9,870 tok/s · ETA 0:12`, as far as it is known after `elapsed` seconds."""
    parts = [f"{done:,} tokens" if total is None else f"{done:,} / {total:,} tokens"]
    if done and elapsed > 0:
        speed = done / elapsed
        parts.append(f"{speed:,.0f} tok/s")
        if total is not None:
            minutes, seconds = divmod(round((total - done) / speed), 60)
            parts.append(f"ETA {minutes}:{seconds:02}")
    return " · ".join(parts)
