"""Slow work on one document says that it goes on, so that the limit of time counts one step of it."""

from collections.abc import Callable
from contextvars import ContextVar

_listener: ContextVar[Callable[[], None] | None] = ContextVar("listener", default=None)


def listen(listener: Callable[[], None]) -> None:
    """Call `listener` at every beat from here on."""
    _listener.set(listener)


def beat() -> None:
    """Say that a step is done, such as one page whose text was recognised. For readers; does nothing elsewhere."""
    listener = _listener.get()
    if listener is not None:
        listener()
