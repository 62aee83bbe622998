"""Processes that read documents, several at a time: one that hangs, crashes or takes too much costs one document."""

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import LifoQueue
from types import TracebackType
from typing import Any, TypeVar

from hipcli.documents import wire
from hipcli.documents.options import ReadOptions
from hipcli.documents.reading import ReadingError, Result
from hipcli.documents.worker import OUT_OF_MEMORY
from hipcli.errors import HipError

Other = TypeVar("Other")

_START_S = 60.0  # that a process may take to start, where a machine is busy
_AHEAD = 64  # files that are read before the one whose turn it is


@dataclass(frozen=True)
class Request:
    """A file to read as `path`, called `where` in errors; `found` in a directory, and not named.

    `file` is the descriptor of an open file that can be read from its start more than once; the pool closes it.
    """

    file: int
    path: str
    where: str
    found: bool


class Pool:
    """At most `size` reader processes, which start when they are needed. A context manager, which ends them."""

    def __init__(self, options: ReadOptions, size: int) -> None:
        self._readers = [_Reader(options) for _ in range(size)]
        # The one that was used last comes first: a single file needs a single process.
        self._idle: LifoQueue[_Reader] = LifoQueue()
        for reader in self._readers:
            self._idle.put(reader)
        self._threads = ThreadPoolExecutor(size)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for reader in self._readers:
            reader.retire()
        self._threads.shutdown()

    def read(self, items: Iterable[Request | Result | Other]) -> Iterator[Result | Other]:
        """What is read of each request, in order; anything else among the items comes out in its place."""
        left = iter(items)
        pending: deque[Future[list[Any]]] = deque()
        while True:
            # Looking for files stops as soon as there is something to hand out.
            while len(pending) < _AHEAD and not (pending and pending[0].done()):
                item = next(left, None)
                if item is None:
                    break
                pending.append(self._begin(item))
            if not pending:
                return
            yield from pending.popleft().result()

    def _begin(self, item: object) -> Future[list[Any]]:
        if isinstance(item, Request):
            return self._threads.submit(self._read, item)
        known: Future[list[Any]] = Future()
        known.set_result([item])
        return known

    def _read(self, request: Request) -> list[Any]:
        reader = self._idle.get()
        try:
            return reader.read(request)
        finally:
            self._idle.put(reader)
            os.close(request.file)


class _Reader:
    """One process at a time, and the socket to it."""

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._retired = False

    def read(self, request: Request) -> list[Result]:
        """All that is read of a file. Where reading ends early it goes on behind the member that it ended at."""
        results: list[Result] = []
        ended: set[str] = set()
        while not self._retired:
            failure = self._attempt(request, results, ended)
            if failure is None:
                break
            results.append(failure)
            ended.add(failure.path)
            if failure.path == request.path:
                break
        return results

    def retire(self) -> None:
        """End the process, whatever it does, and start no other."""
        self._retired = True
        if self._process is not None:
            self._process.kill()

    def _attempt(self, request: Request, results: list[Result], ended: set[str]) -> ReadingError | None:
        """Add what is read to `results`, and to `ended` the members that are done with.

        Returns an error for the member that reading ended at, if it did not come to the end.
        """
        known = {result.path for result in results}
        begun = [request.path]
        why: tuple[str, str] | None = None
        try:
            channel = self._start()
            asked = {"path": request.path, "where": request.where, "found": request.found, "ended": sorted(ended)}
            wire.send(channel, asked, request.file)
            while (received := wire.receive(channel)) is not None:
                message, _ = received
                if "begun" in message:
                    begun.append(message["begun"])
                elif "ended" in message:
                    ended.add(message["ended"])
                    begun.remove(message["ended"])
                elif "ready" in message:
                    channel.settimeout(self._options.seconds)
                elif "failed" in message:
                    why = f"its reader failed ({message['failed']})", "it may be damaged; other programs may open it"
                elif "done" in message:
                    if message["spent"]:
                        self._end()
                    break
                elif "beat" not in message:
                    result = wire.to_result(message)
                    if result.path not in known:
                        results.append(result)
            else:
                why = self._last_words()
        except TimeoutError:
            why = (
                f"reading it was stopped after {self._options.seconds:g} seconds",
                "allow more with --read-seconds if you trust it",
            )
            self._end()
        except ConnectionError:
            why = self._last_words()
        if why is None:
            return None
        path = begun[-1]
        reason, hint = why
        where = request.where if path == request.path else path
        return ReadingError(path, HipError(f"{where}: {reason}", hint))

    def _start(self) -> socket.socket:
        """The socket to the process, which is started unless it runs."""
        if self._channel is None:
            self._channel, theirs = socket.socketpair()
            self._channel.settimeout(max(_START_S, self._options.seconds))
            with theirs:
                number = theirs.fileno()
                self._process = subprocess.Popen(
                    # -P: a json.py beside the documents is not imported.
                    [sys.executable, "-P", "-m", "hipcli.documents.worker", str(number)],
                    pass_fds=[number],
                    stdin=subprocess.DEVNULL,
                    process_group=0,
                )
            wire.send(self._channel, self._options.as_json())
        return self._channel

    def _end(self) -> int:
        """End the process. Returns its exit status, which is negative after a signal."""
        assert self._process is not None and self._channel is not None
        self._channel.close()
        self._channel = None
        self._process.kill()
        return self._process.wait()

    def _last_words(self) -> tuple[str, str]:
        """Why the process has ended by itself, and what to do about it."""
        assert self._process is not None
        self._process.wait()
        status = self._end()
        if status == OUT_OF_MEMORY:
            memory = f"{self._options.memory / 1024:g} GiB"
            return f"reading it takes more than {memory} of memory", "allow more with --read-memory if you trust it"
        if status < 0:
            name = signal.Signals(-status).name
            return f"its reader crashed ({name})", "it may be damaged, or too big for the memory there is"
        return f"its reader ended early (status {status})", "it may be damaged; other programs may open it"
