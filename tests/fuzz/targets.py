"""Reads one damaged file as hip does, within limits, and says how that ended."""

import os
import resource
import select
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hipcli.documents.document import Document, Skipped
from hipcli.documents.options import MIB, ReadOptions
from hipcli.documents.pool import Pool, Request
from hipcli.documents.reading import ReadingError, Result
from hipcli.errors import HipError, first_line

# From best to worst: a file counts by the worst that happened to it or to a file inside it.
ENDS = ("read", "skipped", "refused", "time", "memory", "crashed", "failed")
_SENTENCES = {"reading it was stopped after": "time", "of memory": "memory", "its reader crashed": "crashed"}
_SENTENCES |= {"its reader ended early": "crashed", "its reader failed": "failed"}
_HEADER_SECONDS = 1.0
_HEADER_MEMORY = 500 * MIB


@dataclass(frozen=True)
class Outcome:
    """`end` is one of ENDS, `detail` the sentence that tells. `late`: seconds beyond what the limits allow."""

    end: str
    detail: str = ""
    late: float = 0.0


def is_finding(kind: str, outcome: Outcome) -> bool:
    """Whether somebody should look at it. Only readers of documents have limits that stop them."""
    stopped = ("time", "memory") if kind == "gguf" else ()
    return outcome.end in ("crashed", "failed", *stopped) or outcome.late > 1


Target = Callable[[str, bytes], Outcome]  # of the suffix of a file and its bytes


@contextmanager
def documents(options: ReadOptions) -> Iterator[Target]:
    """Reads files in one reader process."""
    with Pool(options, 1) as pool:

        def read(kind: str, data: bytes) -> Outcome:
            with tempfile.TemporaryFile() as file:
                file.write(data)
                file.flush()
                start = time.perf_counter()
                name = f"fuzz.{kind}"
                results = list(pool.read([Request(os.dup(file.fileno()), name, name, True)]))
            # Each file inside has the time to itself.
            allowed = options.seconds * max(1, len(results))
            ends = [_judged(result) for result in results] or [Outcome("failed", "no result at all")]
            worst = max(ends, key=lambda outcome: ENDS.index(outcome.end))
            return Outcome(worst.end, worst.detail, time.perf_counter() - start - allowed)

        yield read


def _judged(result: Result) -> Outcome:
    if isinstance(result, Document):
        texts = [
            *result.warnings,
            *result.dropped,
            *(part for page in result.pages for part in (page.text, page.label or "")),
        ]
        lines = [*result.warnings, *result.dropped]
    else:
        lines = texts = [result.reason] if isinstance(result, Skipped) else [result.message, result.hint or ""]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        return Outcome("failed", f"text that is not Unicode: {error}")
    if any("\n" in line for line in lines):
        return Outcome("failed", f"a message of several lines: {lines}")
    if isinstance(result, ReadingError):
        found = [end for sentence, end in _SENTENCES.items() if sentence in result.message]
        # Without the name, which is damaged for a file inside.
        return Outcome(found[-1] if found else "refused", result.message.removeprefix(f"{result.path}: "))
    return Outcome("skipped" if isinstance(result, Skipped) else "read")


@contextmanager
def headers(sound: bytes) -> Iterator[Target]:
    """Converts GGUF files, each in a process that begins with everything imported. `sound` is one to warm up with."""
    from hipcli.models.gguf import convert

    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "fuzz.gguf", Path(folder) / "out"
        out.mkdir()
        path.write_bytes(sound)
        convert(path, out)

        def read(kind: str, data: bytes) -> Outcome:
            path.write_bytes(data)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            ours, theirs = os.pipe()
            child = os.fork()
            if child == 0:
                _convert(lambda: convert(path, out), theirs)
            os.close(theirs)
            if not select.select([ours], [], [], 20 * _HEADER_SECONDS)[0]:
                os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            with open(ours, "rb") as pipe:
                end, _, detail = pipe.read().decode("utf-8", "replace").partition(" ")
            # The processor's time: other programs may keep the cores busy.
            seconds = usage.ru_utime + usage.ru_stime
            if 1024 * (usage.ru_maxrss - before) > _HEADER_MEMORY:
                return Outcome("memory", f"{(usage.ru_maxrss - before) // 1024} MiB {detail}")
            if seconds > _HEADER_SECONDS or status == signal.SIGKILL or status == signal.SIGXCPU:
                return Outcome("time", f"{seconds:.1f} s {detail}", seconds - _HEADER_SECONDS)
            return Outcome(end, detail) if end else Outcome("crashed", f"status {status}")

        yield read


def _convert(work: Callable[[], None], answer: int) -> NoReturn:
    """Ends this process, with the outcome on the pipe `answer`, and anything written to standard error as a failure."""
    resource.setrlimit(resource.RLIMIT_CPU, (3, 3))
    resource.setrlimit(resource.RLIMIT_AS, (16 * 1024 * MIB, 16 * 1024 * MIB))
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        try:
            work()
            outcome = "read"
        except HipError as error:
            outcome = f"refused {error.message}" if "\n" not in error.message else f"failed lines: {error.message!r}"
        except BaseException as error:
            outcome = f"failed {type(error).__name__}: {first_line(error)}"
        said.seek(0)
        printed = said.read(300).decode("utf-8", "replace")
    os.write(answer, (f"failed printed: {printed!r}" if printed else outcome)[:4000].encode("utf-8", "replace"))
    os._exit(0)
