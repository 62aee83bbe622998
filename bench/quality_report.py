"""What a results file of `hip eval` or bench/quality.py holds so far, without a model: a table, and JSON.

    python bench/quality_report.py quality.jsonl --name quality_32768

Settings are named by what differs from HipConfig's defaults. The first one's rows are what others are compared with:
dense where there is any. With --name the rows go to bench/results/NAME.json.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from common import RESULTS
from hip_attention.config import HipConfig

from hipcli.evaluation import report
from hipcli.evaluation.specs import Spec
from hipcli.evaluation.store import Record


def spec_of(settings: dict) -> Spec:
    """The Spec that made a record; `text` names it by what is not as usual."""
    usual = asdict(HipConfig())
    fields = {name: settings.get(name, value) for name, value in usual.items()}
    changed = [f"{name}={value}" for name, value in fields.items() if value != usual[name]]
    method, yarn = settings["method"], settings["yarn"]
    if fields["backend"] == "dense":
        fields, changed = {"backend": "dense"}, []
    if yarn is not None:
        changed = [f"factor={yarn:g}", *changed]
    int8 = settings.get("kv_cache") == "int8"
    changed += ["kv_cache=int8"] * int8
    return Spec(f"{method}:{','.join(changed)}" if changed else method, method, HipConfig(**fields), yarn, int8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--name")
    options = parser.parse_args()
    tasks: dict[str, dict[Spec, list[Record]]] = {}
    for path in options.results:
        for line in path.read_text().splitlines():
            record = json.loads(line)
            tasks.setdefault(record["task"], {}).setdefault(spec_of(record["attention"]), []).append(record)
    found = {}
    for task, records in tasks.items():
        specs = sorted(records, key=lambda spec: (spec.method != "dense", spec.text))
        named = {spec.text: done for spec, done in records.items()}
        found[task] = report.rows(named, specs, by_context=task not in ("qa", "summary"))
        print(f"{task}\n{report.table(found[task])}")
    if options.name:
        every = [record for records in tasks.values() for done in records.values() for record in done]
        result = {name: sorted({record[name] for record in every}) for name in ("model", "device", "date", "dtype")}
        result["model"] = [Path(name).name for name in result["model"]]
        (RESULTS / f"{options.name}.json").write_text(json.dumps({**result, "tasks": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
