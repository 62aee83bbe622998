"""What a library logs about a damaged file: Python would print it to standard error."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected(name: str, messages: list[str]) -> Iterator[None]:
    """Add the warnings of the logger called `name` to `messages`, each in one line, and print none of them."""
    collector = _Collector(messages)
    logger = logging.getLogger(name)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(collector)
    try:
        yield
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagate


class _Collector(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(" ".join(record.getMessage().split()).removesuffix("."))
