"""Measure everything, and report the rows as tables, as JSON and as a plot."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
import triton
from hip_attention.config import HipConfig

from hipcli.benchmark.methods import configs, published
from hipcli.benchmark.rows import Row, decode_rows, prefill_rows, short_rows
from hipcli.output.answers import Output
from hipcli.output.figure import blank, save

SHORT = (512, 1024, 2048, 4096, 6144, 8192, 12288, 16384, 32768)


def measure(lengths: tuple[int, ...], top_k: tuple[int, ...]) -> Iterator[Row]:
    """All measurements at prompts of `lengths` tokens; short prompts are always of the same lengths.

    "representative" is slow and therefore measured at the first length only.
    """
    base = HipConfig(backend="triton")
    yield from short_rows(SHORT, base)
    yield from decode_rows(tuple(length for length in lengths if length >= 32768), base)
    yield from prefill_rows(lengths, ("random", "planted"), configs(top_k, base))
    yield from prefill_rows(lengths[:1], ("planted",), published(top_k, base))


def table(rows: Sequence[Row]) -> str:
    """The measurements as Markdown: one table each for prefill, short prompts and decode."""
    parts = []
    for kind, unit in (("prefill", "ms"), ("short", "ms"), ("decode", "us")):
        chosen = [row for row in rows if row.kind == kind]
        if not chosen:
            continue
        parts.append(f"### {kind}\n")
        head = [
            "tokens",
            "data",
            "method",
            unit,
            "TFLOP/s",
            "density %",
            f"select {unit}",
            "error",
            "vs dense",
            "found",
            "memory %",
        ]
        if kind != "prefill":
            head = [head[0], *head[2:4], *([head[6]] if kind == "decode" else [])]
        parts.append("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
        scale = 1000 if unit == "us" else 1
        for row in chosen:
            time = f"{row.milliseconds * scale:.{1 if unit == 'us' else 3}f}"
            cells = [str(row.length), row.data, row.method, time, _number(row.tflops, 0)]
            cells += [_number(None if row.density is None else 100 * row.density, 2)]
            cells += [_number(None if row.select is None else row.select * scale, 2), _number(row.error, 4)]
            cells += [_number(row.error_dense, 3), _number(row.found, 2)]
            cells += [_number(None if row.memory is None else 100 * row.memory, 1)]
            if kind != "prefill":
                cells = [cells[0], *cells[2:4], *([cells[6]] if kind == "decode" else [])]
            parts.append("| " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the measurements as JSON, with the date, the GPU and library versions. `path` is replaced whole.

    Raises HipError where it cannot be written.
    """
    machine = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": triton.__version__,
    }
    text = json.dumps({"machine": machine, "rows": [row.as_json() for row in rows]}, indent=1) + "\n"
    with Output(path) as output:
        output.write(text)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Plot prefill time against prompt length. Raises HipError where matplotlib is missing or the file fails."""
    figure = blank("bench: --plot", (9.5, 4.5))
    axes = figure.subplots()
    chosen = [row for row in rows if row.kind == "prefill" and row.data == "random"]
    for method in dict.fromkeys(row.method for row in chosen):
        points = [(row.length, row.milliseconds) for row in chosen if row.method == method]
        axes.plot(*zip(*points, strict=True), marker="o", label=method)
    axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel="milliseconds a layer", title="Prefill attention")
    axes.set_xscale("log", base=2)
    figure.legend(loc="outside right upper")
    save(figure, path, 120)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
