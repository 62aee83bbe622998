"""Every GPU measurement of docs/appendix/benchmarks.md: python bench/attention.py [decode] [TOKENS ...].

With the word decode only that is measured again, and the other rows of the file of results stay as they are.
"""

import json
import sys
from pathlib import Path

import torch
from hip_attention.config import HipConfig

from hipcli.benchmark.report import draw, measure, table, write
from hipcli.benchmark.rows import Row, decode_rows

RESULTS = Path(__file__).parent / "results"


def main(lengths: tuple[int, ...], only_decode: bool) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"attention_{torch.cuda.get_device_name().split()[1].lower()}.json"
    rows: list[Row] = []
    if only_decode:
        rows = [Row(**row) for row in json.loads(path.read_text())["rows"] if row["kind"] != "decode"]
    measured = decode_rows(lengths, HipConfig(backend="triton")) if only_decode else measure(lengths, (1024, 2048))
    for row in measured:
        rows.append(row)
        print(
            f"{row.kind} {row.length} {row.data} {row.method}: {row.milliseconds:.4f} ms", file=sys.stderr, flush=True
        )
        write(rows, path)
    if not only_decode:
        draw(rows, path.with_suffix(".png"))
    print(table(rows))


if __name__ == "__main__":
    words = sys.argv[1:]
    given = tuple(int(word) for word in words if word != "decode")
    defaults = (131072, 524288, 1048576) if "decode" in words else (32768, 131072, 524288, 1048576)
    main(given or defaults, "decode" in words)
