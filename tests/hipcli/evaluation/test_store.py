"""A killed evaluation goes on where it stopped, and several may write at once."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hipcli.evaluation import units as work
from hipcli.evaluation.specs import parse
from hipcli.evaluation.store import Store, key_of
from hipcli.evaluation.units import Outcome, Unit

SUBJECT = SimpleNamespace(name="tiny", revision="r1", dtype="float32", machine="CPU")
SPECS = [parse("dense"), parse("hip")]


def make_units(done: list, fail_at: int | None = None, revision: str = "") -> list[Unit]:
    def unit(number: int) -> Unit:
        def run(subject, spec) -> Outcome:
            if len(done) == fail_at:
                raise KeyboardInterrupt
            done.append((number, spec.text))
            return Outcome({"exact": [float(number)]})

        return Unit("needle", "single", 8, number, 0, {"files": revision}, run)

    return [unit(number) for number in range(3)]


def run(units, store, shard=(0, 1)) -> None:
    work.run(units, SPECS, SUBJECT, store, shard, lambda *_: None)


def test_a_run_that_is_killed_goes_on(tmp_path) -> None:
    path = tmp_path / "results.jsonl"
    first: list = []
    with pytest.raises(KeyboardInterrupt):
        run(make_units(first, fail_at=4), Store(path))
    second: list = []
    run(make_units(second), Store(path))
    every = [(number, spec.text) for number in range(3) for spec in SPECS]
    assert first + second == every
    assert len(path.read_text().splitlines()) == 6


def test_a_torn_last_line_is_done_again_and_harms_no_other(tmp_path) -> None:
    path = tmp_path / "results.jsonl"
    run(make_units([]), Store(path))
    path.write_bytes(path.read_bytes()[:-20])
    again: list = []
    store = Store(path)
    run(make_units(again), store)
    assert again == [(2, "hip")]
    last: list = []
    run(make_units(last), Store(path))
    assert last == []
    records = work.records(make_units([]), SPECS, SUBJECT, Store(path))
    assert [record["columns"]["exact"] for record in records["hip"]] == [[0.0], [1.0], [2.0]]


def test_whatever_decides_a_result_is_part_of_its_key(tmp_path) -> None:
    store = Store(tmp_path / "results.jsonl")
    run(make_units([]), store)
    for changed, subject in (("other file", SUBJECT), ("", SimpleNamespace(**{**vars(SUBJECT), "revision": "r2"}))):
        again: list = []
        work.run(make_units(again, revision=changed), SPECS, subject, store, (0, 1), lambda *_: None)
        assert len(again) == 6
    unit = make_units([])[0]
    keys = [key_of(work.identity(unit, parse(text), SUBJECT)) for text in ("hip", "hip:top_k=512", "quest", "dense")]
    assert len(set(keys)) == 4
    assert key_of(work.identity(unit, parse("hip:top_k=1k"), SUBJECT)) == keys[0], "names do not matter, settings do"


def test_shards_divide_the_work(tmp_path) -> None:
    path = tmp_path / "results.jsonl"
    parts = []
    for number in range(3):
        done: list = []
        run(make_units(done), Store(path), (number, 3))
        parts.append(done)
    assert sorted(job for part in parts for job in part) == sorted(
        (number, spec.text) for number in range(3) for spec in SPECS
    )
    assert all(len(part) == 2 for part in parts)


def test_processes_may_append_at_once(tmp_path) -> None:
    path = tmp_path / "results.jsonl"
    script = (
        "import sys\nfrom pathlib import Path\nfrom hipcli.evaluation.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for i in range(40): store.add({'key': f'{sys.argv[2]}-{i}', 'padding': 'x' * 20000})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(path), str(i)]) for i in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert len(set(keys)) == len(keys) == 120
