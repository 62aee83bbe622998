"""What an evaluation found, as plain values and as tables: means, intervals, differences to the first spec."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hipcli.evaluation.intervals import Kind, estimate, standard_error
from hipcli.evaluation.specs import Spec
from hipcli.evaluation.store import Record
from hipcli.output.messages import one_line

# Which interval suits which metric.
INTERVALS: dict[str, Kind] = {
    "exact": "wilson",
    "contains": "wilson",
    "correct": "wilson",
    "top1": "wilson",
    "refresh_top1": "wilson",
    "decode_top1": "wilson",
    **{f"{name}_{rank}": "wilson" for name in ("sources", "bm25") for rank in (1, 3, 5)},
    "watch_share": "bootstrap",
    "cited": "wilson",
    "reference": "wilson",
    "share": "bootstrap",
    "probability": "bootstrap",
    "f1": "bootstrap",
    "rouge_l": "bootstrap",
    "nats": "normal",
    "kl": "normal",
    "refresh_kl": "normal",
    "decode_kl": "normal",
}
ALL = "all"
_BINS = 10

Row = dict[str, Any]


def rows(records: Mapping[str, list[Record]], specs: Sequence[Spec], by_context: bool) -> list[Row]:
    """One row a context, group and spec (and one over all groups, if there are several).

    `by_context` keeps lengths apart; otherwise a row's context is the longest in it. The difference to the first spec
    is over what both have done, paired item by item, with its standard error.
    """
    found = []
    every = [record for spec in specs for record in records[spec.text]]
    contexts: list[int | None] = list(dict.fromkeys(r["context"] for r in every)) if by_context else [None]
    groups = list(dict.fromkeys(r["group"] for r in every))
    for context in contexts:
        for group in groups + [ALL] * (len(groups) > 1):
            for spec in specs:
                mine, first = (
                    [r for r in records[s.text] if context in (None, r["context"]) and group in (ALL, r["group"])]
                    for s in (spec, specs[0])
                )
                if mine:
                    found.append(_row(spec, group, mine, first if spec is not specs[0] else []))
                if right := [record for record in map(_answered_right, mine) if record is not None]:
                    found.append(_row(spec, f"{group}, answered right", right, []))
    return [row for row in found if row["metrics"]]


def _answered_right(record: Record) -> Record | None:
    """What a record has of questions that were answered right; None where it does not say, or none was."""
    right = record["details"].get("right")
    if not right or not any(right):
        return None
    kept = {
        name: [value for value, known in zip(values, right, strict=True) if known]
        for name, values in record["columns"].items()
        if len(values) == len(right)
    }
    return {**record, "columns": kept}


def _row(spec: Spec, group: str, mine: list[Record], first: list[Record]) -> Row:
    # Metrics that only some groups have cannot be averaged over all of them.
    names = [
        name
        for name in mine[0]["columns"]
        if all(name in record["columns"] for record in mine) and any(record["columns"][name] for record in mine)
    ]
    row: Row = {
        "attention": spec.text,
        "settings": spec.settings(),
        "group": group,
        "context": max(record["context"] for record in mine),
        "units": len(mine),
        "seconds": round(sum(record["seconds"] for record in mine), 1),
        "metrics": {name: _metric(name, mine, first) for name in names},
    }
    if "nats" in names:
        nats = row["metrics"]["nats"]
        row["perplexity"] = {name: math.exp(nats[name]) for name in ("mean", "low", "high")}
    layers = [record["details"]["mass"] for record in mine if record["details"].get("mass")]
    if layers:
        row["mass_by_layer"] = [round(fmean(layer), 4) for layer in zip(*layers, strict=True)]
        row["mass"] = round(fmean(row["mass_by_layer"]), 4)
    return row


def _metric(name: str, mine: list[Record], first: list[Record]) -> Row:
    kind = INTERVALS[name]
    values = [value for record in mine for value in record["columns"][name]]
    metric: Row = {**asdict(estimate(values, kind)), "interval": kind}
    other = {_place(record): record["columns"][name] for record in first}
    differences = [
        a - b
        for record in mine
        # Answers of two specs may have different numbers of references.
        if _place(record) in other and len(other[_place(record)]) == len(record["columns"][name])
        for a, b in zip(record["columns"][name], other[_place(record)], strict=True)
    ]
    if differences:
        metric["difference"] = {
            "mean": fmean(differences), "standard_error": standard_error(differences), "n": len(differences)
        }  # fmt: skip
    return metric


def _place(record: Record) -> tuple[Any, ...]:
    return record["context"], record["group"], record["number"]


def table(found: Sequence[Row]) -> str:
    """The rows for people: means with 95 % intervals, differences to the first spec with their standard errors."""
    names = list(dict.fromkeys(name for row in found for name in row["metrics"]))
    made = Table(box=None, pad_edge=False, header_style="")
    extra = [name for name in ("perplexity", "mass") if any(name in row for row in found)]
    for title in ("context", "group", "attention", "n", *names, *extra):
        made.add_column(_literal(title), justify="left" if title in ("group", "attention") else "right", no_wrap=True)
    for row in found:
        counts = {metric["n"] for metric in row["metrics"].values()}
        made.add_row(
            str(row["context"]),
            _literal(row["group"]),
            _literal(row["attention"]),
            "/".join(map(str, sorted(counts))),
            *(_cell(row["metrics"].get(name)) for name in names),
            *(_extra(row.get(name)) for name in extra),
        )
    return _text(made)


def _cell(metric: Row | None) -> str:
    if metric is None:
        return ""
    text = f"{metric['mean']:.4f} [{metric['low']:.4f}, {metric['high']:.4f}]"
    if "difference" in metric:
        text += f" {metric['difference']['mean']:+.4f} ± {metric['difference']['standard_error']:.4f}"
    return text


def _extra(value: Row | float | None) -> str:
    value = value["mean"] if isinstance(value, dict) else value
    return "" if value is None else f"{value:.3f}"


def heat(records: Sequence[Record]) -> dict[int, list[float | None]]:
    """Share of what was hidden that was found, by length of text and tenth of its depth; None where nothing was."""
    cells: dict[tuple[int, int], list[int]] = {}
    for record in records:
        for depth, hit in zip(record["details"]["depths"], record["details"]["hits"], strict=True):
            cells.setdefault((record["context"], min(_BINS - 1, int(depth * _BINS))), []).append(hit)
    contexts = sorted({context for context, _ in cells})
    return {
        context: [fmean(cells[context, i]) if (context, i) in cells else None for i in range(_BINS)]
        for context in contexts
    }


def heat_table(name: str, cells: Mapping[int, Sequence[float | None]]) -> str:
    """Depth across, length down, in per cent."""
    made = Table(
        box=None, pad_edge=False, header_style="", title=_literal(f"{name}: found, % by depth"), title_justify="left"
    )
    made.add_column("context", justify="right")
    for i in range(_BINS):
        made.add_column(f"{100 * i // _BINS}-{100 * (i + 1) // _BINS}", justify="right")
    for context, shares in cells.items():
        made.add_row(str(context), *("" if share is None else f"{100 * share:.0f}" for share in shares))
    return _text(made)


def _literal(text: str) -> Text:
    """`text` from a user's file as a cell: Rich would take brackets in it for markup."""
    return Text(one_line(text))


def _text(made: Table) -> str:
    console = Console(file=io.StringIO(), width=1000, highlight=False, color_system=None, force_terminal=False)
    console.print(made)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"
