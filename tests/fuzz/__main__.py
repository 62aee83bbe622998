"""Damages documents on purpose and reads them: every reader must answer or refuse, within its limits.

PYTHONPATH=tests python -m fuzz --count 100000 --seeds ../shared/data/pdf --seeds ../shared/data/cases
PYTHONPATH=tests python -m fuzz --only docx:1234        # writes fuzz-1234.docx, and reads it in this process
"""

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from fuzz.campaign import Inputs, Tally, run_all
from fuzz.seeds import SEEDS
from fuzz.targets import ENDS
from hipcli.documents.options import ReadOptions
from hipcli.documents.reading import read_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--formats", nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--seeds", action="append", default=[], help="folder with more files to damage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read-seconds", type=float, default=5)
    parser.add_argument("--read-memory", type=int, default=512, help="MiB")
    parser.add_argument("--only", metavar="FORMAT:NUMBER", help="write and read this one input")
    parser.add_argument("--save", type=Path, help="write the figures as JSON")
    chosen = parser.parse_args()
    # Recognition is left out: it takes the time of thousands of inputs, and what it sees is pixels.
    options = ReadOptions(seconds=chosen.read_seconds, memory=chosen.read_memory, ocr="off")
    if chosen.only:
        kind, _, number = chosen.only.partition(":")
        read_here(Inputs(kind, chosen.seed, chosen.seeds), int(number), options)
        return
    start = time.perf_counter()
    tallies = run_all(chosen.formats, chosen.count, chosen.seed, chosen.seeds, options)
    seconds = round(time.perf_counter() - start, 1)
    show(tallies)
    if chosen.save:
        machine = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "device": "2-core x86-64 virtual machine"}
        settings = {"limit_seconds": chosen.read_seconds, "limit_mib": chosen.read_memory, "seed": chosen.seed}
        formats = {kind: vars(tally) for kind, tally in tallies.items()}
        result = {"machine": machine, **settings, "seconds": seconds, "formats": formats}
        chosen.save.write_text(json.dumps(result, indent=1) + "\n")


def show(tallies: dict[str, Tally]) -> None:
    """Print a table, and below it one line a finding."""
    total = Tally()
    for tally in tallies.values():
        total.add(tally)
    print(f"{'format':7}", *(f"{name:>8}" for name in ("inputs", *ENDS, "seconds", "peak MiB", "late s")))
    for kind, tally in (*tallies.items(), ("all", total)):
        figures = [tally.ends.total(), *(tally.ends[end] for end in ENDS), round(tally.seconds), tally.peak >> 20]
        print(f"{kind:7}", *(f"{figure:8,}" for figure in figures), f"{tally.latest:8.1f}")
    for kind, tally in tallies.items():
        for what, (number, count) in sorted(tally.findings.items()):
            print(f"{kind}:{number} ({count:,} times) {what}")


def read_here(inputs: Inputs, number: int, options: ReadOptions) -> None:
    """Write one input to a file, and read it so that an exception shows where it comes from. There are no limits."""
    data = inputs.damaged(inputs.sound(), number)
    path = Path(f"fuzz-{number}.{inputs.kind}")
    path.write_bytes(data)
    if inputs.kind == "gguf":
        from hipcli.models.gguf import convert

        with tempfile.TemporaryDirectory() as folder:
            convert(path, Path(folder))
    else:
        for item in read_bytes(data, path.name, path.name, options, True):
            print(str(item)[:300])


if __name__ == "__main__":
    main()
