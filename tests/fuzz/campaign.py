"""Many damaged files, spread over processes, and what became of them."""

import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from random import Random

from fuzz.mutations import mutated
from fuzz.seeds import SEEDS
from fuzz.targets import documents, headers, is_finding
from hipcli.documents.options import ReadOptions

_UNIT = 250  # inputs that one process reads
_SHARES = {"pdf": 4, "gguf": 2}  # of the inputs; 1 for every other format
_BIGGEST = 60_000  # bytes of a file that is damaged


@dataclass
class Tally:
    """What became of inputs: how often each end, and each distinct finding with its first input and how often.

    `latest` is the most seconds that one took beyond what its limits allow, negative within them; `peak` the bytes
    that the biggest process took.
    """

    ends: Counter[str] = field(default_factory=Counter)
    findings: dict[str, tuple[int, int]] = field(default_factory=dict)
    seconds: float = 0.0
    latest: float = float("-inf")
    peak: int = 0

    def add(self, other: "Tally") -> None:
        self.ends += other.ends
        self.seconds += other.seconds
        self.latest = max(self.latest, other.latest)
        self.peak = max(self.peak, other.peak)
        for what, (number, count) in other.findings.items():
            first, before = self.findings.get(what, (number, 0))
            self.findings[what] = min(first, number), before + count


@dataclass(frozen=True)
class Inputs:
    """Input `number` follows from the format and `seed` alone, as long as the files below `folders` are the same."""

    kind: str
    seed: int = 0
    folders: Sequence[str] = ()

    def sound(self) -> list[bytes]:
        """The files that are damaged."""
        found = sorted(path for folder in self.folders for path in Path(folder).rglob(f"*.{self.kind}"))
        return SEEDS[self.kind]() + [path.read_bytes() for path in found if 0 < path.stat().st_size <= _BIGGEST]

    def damaged(self, sound: Sequence[bytes], number: int) -> bytes:
        return mutated(self.kind, sound, Random(f"{self.seed}:{self.kind}:{number}"))


def run(inputs: Inputs, numbers: range, options: ReadOptions) -> Tally:
    """Read the inputs of these numbers. Waits for all child processes of this one, to measure them."""
    tally, sound, start = Tally(), inputs.sound(), time.perf_counter()
    with headers(sound[0]) if inputs.kind == "gguf" else documents(options) as read:
        for number in numbers:
            outcome = read(inputs.kind, inputs.damaged(sound, number))
            tally.ends[outcome.end] += 1
            tally.latest = max(tally.latest, outcome.late)
            if is_finding(inputs.kind, outcome):
                tally.add(Tally(findings={f"{outcome.end}: {outcome.detail}"[:200]: (number, 1)}))
    with suppress(ChildProcessError):
        while True:
            os.wait()
    tally.seconds = time.perf_counter() - start
    tally.peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return tally


def run_all(
    kinds: Sequence[str], count: int, seed: int, folders: Sequence[str], options: ReadOptions
) -> dict[str, Tally]:
    """Read about `count` inputs of these formats on all cores. A process that ends by itself ends it all."""
    tallies = {kind: Tally() for kind in kinds}
    shares = sum(_SHARES.get(kind, 1) for kind in kinds)
    cores = len(os.sched_getaffinity(0))
    # A fresh process for each unit, so that what is measured of its children is theirs.
    with ProcessPoolExecutor(cores, get_context("spawn"), max_tasks_per_child=1) as processes:
        units = {}
        for kind in kinds:
            numbers = range(-(-count * _SHARES.get(kind, 1) // shares))
            for first in numbers[::_UNIT]:
                part = numbers[first : first + _UNIT]
                units[processes.submit(run, Inputs(kind, seed, folders), part, options)] = kind
        for done, unit in enumerate(as_completed(units), 1):
            tallies[units[unit]].add(unit.result())
            print(f"\r{done} of {len(units)} units", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return tallies
