"""One run of `hip eval`: divide the task into units of work, do those that have no result yet, report all results."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hipcli.cli.eval_options import EvalOptions
from hipcli.documents.inputs import read_or_raise
from hipcli.engine.threads import wait_without_spinning
from hipcli.errors import ExitCode, HipError
from hipcli.evaluation.specs import Spec, parse, tokens
from hipcli.models.resolve import resolve
from hipcli.output import messages
from hipcli.output.answers import Output, write_json

if TYPE_CHECKING:
    from hipcli.evaluation.questions import Skipped
    from hipcli.evaluation.store import Record
    from hipcli.evaluation.subject import Subject
    from hipcli.evaluation.units import Unit

DEFAULT_N = {"perplexity": 4, "needle": 20, "agreement": 2}


def run(options: EvalOptions) -> int:
    """Evaluate as `options` say and write the report. Results that an earlier run stored are not computed again.

    Returns an exit code. Raises HipError.
    """
    wait_without_spinning()
    specs = _specs(options.attention)
    shard = _shard(options.shard)
    if options.plot is not None and options.task != "needle":
        raise _usage("--plot draws needles only")

    from hipcli.evaluation import units as work
    from hipcli.evaluation.store import Store
    from hipcli.evaluation.subject import Subject

    model = options.model
    subject = Subject(resolve(model.name, messages.say), model.device, model.dtype)
    units, skipped = _units(options, subject)
    _announce(units, specs, skipped, subject)
    store = Store(options.results)
    with Output(options.output) as output:
        work.run(units, specs, subject, store, shard, _progress)
        store.reload()
        records = work.records(units, specs, subject, store)
        _report(options, specs, records, skipped, subject, output)
    return ExitCode.DONE


def _units(options: EvalOptions, subject: "Subject") -> tuple[list["Unit"], list["Skipped"]]:
    from hipcli.evaluation import agreement, evidence, needle, perplexity, questions
    from hipcli.evaluation.corpus import Corpus, fingerprint
    from hipcli.evaluation.needles import KINDS

    if options.task in ("qa", "summary", "evidence"):
        items = [item for path in options.paths or [] for item in questions.load(Path(path))]
        if not items:
            raise _usage(f"{options.task} needs a JSON Lines file of questions")
        limit = tokens(options.context) if options.context else subject.window
        if limit is None:
            raise _usage("the model does not say how long its window is", "say --context")
        if options.task == "evidence":
            return evidence.units(items, limit, options.n, options.seed, subject)
        return questions.units(items, options.task == "summary", limit, options.n, options.seed, subject)
    documents = read_or_raise(options.paths)
    files = fingerprint(documents)
    corpus = Corpus(documents, lambda text: len(subject.encoder.text(text)))
    contexts = [tokens(part) for part in (options.context or "8k").split(",")]
    n = options.n or DEFAULT_N[options.task]
    if options.task == "perplexity":
        return perplexity.units(corpus, files, contexts, n), []
    if options.task == "agreement":
        return agreement.units(corpus, files, contexts, n, options.decode), []
    kinds = options.kinds.split(",") if options.kinds else list(KINDS)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise _usage(f"--kinds {unknown[0]}: no such kind", f"kinds: {', '.join(KINDS)}")
    return needle.units(corpus, files, kinds, contexts, n, options.seed), []


def _specs(texts: Sequence[str]) -> list[Spec]:
    specs = [parse(text) for text in texts]
    if len({spec.text for spec in specs}) < len(specs):
        raise _usage("--attention: one of them stands twice")
    return specs


def _shard(text: str) -> tuple[int, int]:
    """Parse the shard "2/4", the second of four, as (1, 4)."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise _usage(f"--shard {text}: not a shard", "say 1/4 for the first of four")
    return int(number) - 1, int(of)


def _announce(units: Sequence["Unit"], specs: Sequence[Spec], skipped: Sequence["Skipped"], subject: "Subject") -> None:
    for each in skipped:
        messages.warn(f"{each.document}: {each.tokens:,} tokens do not fit: {each.questions} questions skipped")
    longest = max((unit.context for unit in units), default=0)
    for spec in specs:
        shortest = spec.config.min_context
        if spec.config.backend != "dense" and longest <= shortest:
            messages.warn(f"{spec.text}: no text is longer than its min_context, {shortest}: all is dense")
        stretched = spec.yarn is not None or spec.config.packed_from is not None
        if subject.window and longest > subject.window and not stretched:
            messages.warn(f"{spec.text}: {longest:,} tokens are more than the {subject.window:,} of {subject.name}")


def _progress(done: int, total: int, unit: "Unit", spec: Spec, seconds: float) -> None:
    place = f"{unit.task} {unit.group} {unit.context:,} #{unit.number}"
    messages.say(f"[{done}/{total}] {place} {spec.text}: {seconds:.1f} s")


def _report(
    options: EvalOptions,
    specs: Sequence[Spec],
    records: dict[str, list["Record"]],
    skipped: Sequence["Skipped"],
    subject: "Subject",
    output: Output,
) -> None:
    from hipcli.evaluation import report

    rows = report.rows(records, specs, by_context=options.task not in ("qa", "summary", "evidence"))
    maps = {}
    if options.task == "needle":
        maps = {name: cells for name, found in records.items() if (cells := report.heat(found))}
    if options.plot is not None and maps:
        from hipcli.evaluation import plot

        plot.draw(maps, options.plot)
    if options.as_json:
        stored = [record for found in records.values() for record in found]
        result = {
            "task": options.task,
            "model": subject.name,
            "revision": subject.revision,
            "dtype": subject.dtype,
            "devices": sorted({record["device"] for record in stored}),
            "dates": sorted({record["date"] for record in stored}),
            "seed": options.seed,
            "rows": rows,
            "heat": maps,
            "skipped": [asdict(each) for each in skipped],
        }
        write_json(output, result)
        return
    output.write(report.table(rows))
    for name, cells in maps.items():
        output.write("\n" + report.heat_table(name, cells))


def _usage(message: str, hint: str | None = None) -> HipError:
    return HipError(message, hint, ExitCode.USAGE)
