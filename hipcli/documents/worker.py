"""The process that documents are read in: a bad one can end it, and nothing else. Started by `pool`.

Reads requests from a socket, each with an open file, and answers with what is read, message by message.
"""

import ctypes
import os
import resource
import signal
import socket
import sys
import threading
import time
from typing import NoReturn

from hipcli.documents import heartbeat, wire
from hipcli.documents.options import MIB, ReadOptions
from hipcli.documents.reading import Begun, Ended, Result, read_bytes
from hipcli.errors import first_line

OUT_OF_MEMORY = 77  # exit status
_UNUSED_ADDRESSES = 2048 * MIB  # of stacks, libraries and arenas, which take addresses and no memory
_WATCH_S = 0.05
_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main() -> NoReturn:
    """Serve the socket whose descriptor is the first argument until the other side closes it."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    _discard_prints()
    # Ctrl-C is for the process that started this one, which ends it then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    first = wire.receive(channel)
    if first is None:
        sys.exit()
    options = ReadOptions.from_json(first[0])
    end_with_parent()
    _limit_memory(options.memory * MIB)
    heartbeat.listen(lambda: wire.send(channel, {"beat": True}))
    try:
        wire.send(channel, {"ready": True})
        while (request := wire.receive(channel)) is not None:
            message, file = request
            assert file is not None
            _serve(channel, message, file, options)
    except OSError:  # the other side has gone
        pass
    sys.exit()


def _serve(channel: socket.socket, request: wire.Message, file: int, options: ReadOptions) -> None:
    try:
        # Another reader may have ended in the middle of this very file, and the place in it is shared.
        with open(file, "rb") as stream:
            stream.seek(0)
            data = stream.read(options.most_bytes + 1)
        ended = frozenset(request["ended"])
        for item in read_bytes(data, request["path"], request["where"], options, request["found"], ended):
            wire.send(channel, _as_message(item))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except ConnectionError:
        raise
    except Exception as error:  # on hostile input a library raises anything
        wire.send(channel, {"failed": f"{type(error).__name__}: {first_line(error)}"})
    # What a library has not given back would count against the next document.
    wire.send(channel, {"done": True, "spent": _resident() > options.memory * MIB // 4})


def _as_message(item: Result | Begun | Ended) -> wire.Message:
    if isinstance(item, Begun):
        return {"begun": item.path}
    if isinstance(item, Ended):
        return {"ended": item.path}
    return wire.from_result(item)


def _discard_prints() -> None:
    """Native libraries print about damaged files; whoever reads the output of hip cannot use that."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


def end_with_parent() -> None:
    """Have the kernel end this process as soon as the thread ends that started it.

    The watch does so, too, but not while a library holds the interpreter's lock.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)


def _limit_memory(limit: int) -> None:
    """End the process where it takes more than `limit` bytes, or where its parent has ended."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = limit + _UNUSED_ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    threading.Thread(target=_watch, args=(limit, os.getppid()), daemon=True).start()


def _watch(limit: int, parent: int) -> NoReturn:
    while _resident() <= limit and os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(OUT_OF_MEMORY)


def _resident() -> int:
    """Bytes of memory in use, or the most that there ever were, where the system tells no more."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        # Not on Linux, where it starts at what the parent process has. macOS counts in bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
