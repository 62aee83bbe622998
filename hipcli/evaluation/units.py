"""The work of an evaluation in units that are done, stored and skipped one by one."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hipcli.evaluation.specs import Spec
from hipcli.evaluation.store import Record, Store, key_of

if TYPE_CHECKING:
    from hipcli.evaluation.subject import Subject


@dataclass(frozen=True)
class Outcome:
    """What a unit found: values by metric, one an item (a question, a token), in an order that specs share.

    `details` hold what is shown but not averaged.
    """

    columns: Mapping[str, list[float]]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """One text to read. `group` is what results are averaged over: a kind of needle, a type of question.

    `inputs` hold whatever else decides the outcome, as plain values: hashes of files, settings of the task.
    """

    task: str
    group: str
    context: int
    number: int
    seed: int
    inputs: Mapping[str, Any]
    run: Callable[["Subject", Spec], Outcome]


Progress = Callable[[int, int, Unit, Spec, float], None]


def identity(unit: Unit, spec: Spec, subject: "Subject") -> dict[str, Any]:
    """Everything that decides the outcome of a unit under a spec, as plain values."""
    return {
        "task": unit.task,
        "group": unit.group,
        "context": unit.context,
        "number": unit.number,
        "seed": unit.seed,
        "inputs": dict(unit.inputs),
        "attention": spec.settings(),
        "revision": subject.revision,
        "dtype": subject.dtype,
    }


def run(
    units: Sequence[Unit],
    specs: Sequence[Spec],
    subject: "Subject",
    store: Store,
    shard: tuple[int, int],
    progress: Progress,
) -> None:
    """Do what the store does not have: unit by unit, every spec of it, as far as it falls to shard (i, n)."""
    jobs = list(_missing(units, specs, subject, store, shard))
    for done, (unit, spec, facts) in enumerate(jobs, 1):
        begin = time.perf_counter()
        outcome = unit.run(subject, spec)
        seconds = time.perf_counter() - begin
        store.add(
            {
                "key": key_of(facts),
                **facts,
                "columns": dict(outcome.columns),
                "details": dict(outcome.details),
                "model": subject.name,
                "device": subject.machine,
                "date": datetime.now(UTC).strftime("%Y-%m-%d"),
                "seconds": round(seconds, 3),
            }
        )
        progress(done, len(jobs), unit, spec, seconds)


def records(units: Sequence[Unit], specs: Sequence[Spec], subject: "Subject", store: Store) -> dict[str, list[Record]]:
    """What the store has of these units, in their order, by the text of the spec."""
    found: dict[str, list[Record]] = {}
    for spec in specs:
        stored = (store.get(key_of(identity(unit, spec, subject))) for unit in units)
        found[spec.text] = [record for record in stored if record is not None]
    return found


def _missing(
    units: Sequence[Unit], specs: Sequence[Spec], subject: "Subject", store: Store, shard: tuple[int, int]
) -> Iterator[tuple[Unit, Spec, dict[str, Any]]]:
    for i, unit in enumerate(units):
        for j, spec in enumerate(specs):
            facts = identity(unit, spec, subject)
            # A diagonal, so that no shard gets all of a slow spec or all of a long unit.
            if (i + j) % shard[1] == shard[0] and store.get(key_of(facts)) is None:
                yield unit, spec, facts
