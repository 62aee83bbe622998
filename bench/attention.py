"""Every number of docs/benchmarks.md that was measured on a GPU: python bench/attention.py [TOKENS ...]."""

import sys
from pathlib import Path

import torch
from hip_attention.benchmark_report import draw, measure, table, write

RESULTS = Path(__file__).parent / "results"


def main(lengths: tuple[int, ...]) -> None:
    RESULTS.mkdir(exist_ok=True)
    device = torch.cuda.get_device_name().split()[1].lower()
    rows = []
    for row in measure(lengths, (1024, 2048)):
        rows.append(row)
        print(
            f"{row.kind} {row.length} {row.data} {row.method}: {row.milliseconds:.3f} ms", file=sys.stderr, flush=True
        )
        write(rows, RESULTS / f"attention_{device}.json")
    draw(rows, RESULTS / f"attention_{device}.png")
    print(table(rows))


if __name__ == "__main__":
    main(tuple(int(argument) for argument in sys.argv[1:]) or (32768, 131072, 524288, 1048576))
