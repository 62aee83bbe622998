"""One run, step by step: documents, prompt, tokens, budget, engine, answers."""

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from hipcli.cli.options import GPU_REFRESH
from hipcli.cli.settings import Settings
from hipcli.disk import sessions
from hipcli.disk.renamed import arranged
from hipcli.disk.session_header import KeptDocument
from hipcli.documents.document import Document
from hipcli.documents.inputs import default_paths, standard_input
from hipcli.engine import runtime
from hipcli.engine.events import Done, Event, Token
from hipcli.engine.resume import read
from hipcli.engine.threads import wait_without_spinning
from hipcli.errors import ExitCode, HipError
from hipcli.evidence.citations import Citer
from hipcli.evidence.reference import Evidence
from hipcli.evidence.seeking import Seeker
from hipcli.output import heatmap, messages
from hipcli.output.answers import AnswerWriter, Output, write_json
from hipcli.output.citing import CitingWriter, reference_lines
from hipcli.output.dry_run import write_budgets
from hipcli.output.html.report import report
from hipcli.output.line_file import LineFile
from hipcli.output.lines import Lines, Wanted, done_already
from hipcli.output.places import extract, source_lines
from hipcli.output.progress import Update, progress
from hipcli.output.reading import ReadingReport
from hipcli.output.result import Answer, Result
from hipcli.planning import kv_cache
from hipcli.planning.answer_key import answer_key
from hipcli.planning.budget import GIB, Budget, DocumentCount
from hipcli.planning.plan import Plan
from hipcli.planning.positions import place
from hipcli.planning.room import room_for
from hipcli.prompt import templates
from hipcli.prompt.tokens import PromptEncoder
from hipcli.structured.schema import AnswerSchema

UNFINISHED = "allow more with --max-tokens, or give strings, lists and numbers bounds in the schema"
REPORTED = 5  # sources of an answer in a report, unless --sources says otherwise


@dataclass(frozen=True)
class Task:
    """What to do with the documents. A question of None leaves it to the prompt what to ask.

    `each` reads the documents one by one instead of together; `can_split`: the user could ask for that. `converses`:
    questions and answers stay, and take up to `room` tokens, None where that is to suit the documents.
    """

    command: str
    questions: Sequence[str | None]
    each: bool = False
    can_split: bool = False
    converses: bool = False
    room: int | None = None


@dataclass(frozen=True)
class Asked:
    """A question, as token ids, too; `key` is that of its answer (`answer_key`), None where nobody needs it."""

    question: str | None
    suffix: list[int]
    key: str | None


@dataclass(frozen=True)
class Job:
    """One context: the documents as token ids, what is asked about them, what to do with it, and what it takes."""

    document: int | None  # position among all documents, None when all are read together
    prefix: list[int]
    asked: Sequence[Asked]
    plan: Plan
    budget: Budget
    documents: Sequence[Document]
    seeker: Seeker | None  # these two are None where nobody asks what answers rest on
    citer: Citer | None


def run(task: Task, paths: list[str] | None, settings: Settings) -> ExitCode:
    """Answer every question of `task` from the documents at `paths`.

    Failures of single documents are reported and decide the exit code returned; whatever stops the whole run is
    raised as HipError.
    """
    messages.set_quiet(settings.quiet)
    prepare_libraries(settings)
    schema = None if settings.schema is None else settings.schema.text
    prompt = templates.load(
        settings.prompt, settings.parameters, settings.length, settings.cite,
        schema=schema, focus=settings.focus, language=settings.language,
    )  # fmt: skip
    prompt.check(asks=any(question is not None for question in task.questions))
    if settings.heatmap is not None:
        heatmap.check(settings.heatmap)
    with _output(settings) as output, _report_file(settings) as page:
        start = time.monotonic()
        report = ReadingReport()
        documents = read_documents(paths, settings, report)
        if not documents:
            return ExitCode.FAILED
        read_s = time.monotonic() - start
        if settings.heatmap is not None:
            heatmap.check_documents(documents)
        failed = report.failed
        model = runtime.open_runtime(settings, messages.say)
        documents = as_in_session(documents, report, model, settings)
        jobs = plan_jobs(task, documents, prompt, model, settings)
        if settings.dry_run:
            budgets = [job.budget for job in jobs]
            write_budgets(output, task.command, model.name, budgets, report.as_json() if settings.as_json else None)
            return _exit_code(failed, too_long=not all(job.budget.fits for job in jobs))
        fitting = [job for job in jobs if fits(job, model.name, task.can_split)]
        announce(fitting, model.name, settings)
        counts = [count for job in jobs for count in job.budget.documents]
        result = Result(task.command, settings, model.name, model.revision, model.shape.window)
        result.reading = report.as_json()
        result.counts = counts
        result.read_s = read_s
        result.titled = len(jobs) * len(task.questions) > 1
        if settings.jsonl:
            result.lines = Lines(output, result)
            result.lines.unread()
            for job in jobs:
                if error := job.budget.refusal(model.name, task.can_split):
                    result.lines.refused(job.document, error.message)
        too_long = len(fitting) < len(jobs)
        if isinstance(output, LineFile):
            fitting = _left(fitting, output, settings)
        if fitting:
            _answer(task, fitting, model, output, result)
            _picture(result, page)
        failed = failed or any(answer.fault for answer in result.answers)
        return _exit_code(failed, too_long)


def _output(settings: Settings) -> Output:
    lines = settings.jsonl and settings.output is not None
    return LineFile(settings.output, settings.resume) if lines else Output(settings.output)


def _left(jobs: Sequence[Job], output: LineFile, settings: Settings) -> list[Job]:
    """The jobs without the questions whose answers are in `output` already, which is said."""
    asked = [(job, each) for job in jobs for each in job.asked]
    wanted = [Wanted(each.key, tuple(document.path for document in job.documents)) for job, each in asked]
    done = done_already(output.kept, wanted)
    if done:
        messages.say(f"hip: {len(done):,} of {messages.counted(len(asked), 'answer')} are done already: skipped")
    if settings.verbose:
        for position in sorted(done):
            messages.say(f"hip: skipped: {', '.join(wanted[position].paths)}")
    left = {id(each) for position, (_, each) in enumerate(asked) if position not in done}
    jobs = [replace(job, asked=[each for each in job.asked if id(each) in left]) for job in jobs]
    return [job for job in jobs if job.asked]


def read_documents(paths: list[str] | None, settings: Settings, report: ReadingReport) -> list[Document]:
    """The documents at `paths` that can be read; `report` tells of the others."""
    stdin = standard_input()
    found = default_paths(paths, stdin)
    with progress("Reading", not settings.quiet):
        return list(report.read(found, settings.read_options, stdin))


def as_in_session(
    documents: list[Document], report: ReadingReport, model: runtime.Runtime, settings: Settings
) -> list[Document]:
    """The documents as the session that is asked for has them: by the names and in the order that it was made with,
    and on its day, so that the prompt is the same. Contents decide: where these differ, the documents as they are.
    """
    header = None if settings.session is None else sessions.header_of(settings.session)
    if header is None:
        return documents
    if header.day:
        model.tokenizer.now = datetime.fromisoformat(header.day)
    found = arranged(documents, header.documents)
    if found is None or found == documents:
        return documents
    renamed = [f"{document.path} is {document.known_as}" for document in found if document.known_as]
    what = f"; there {', '.join(renamed)}" if renamed else ""
    messages.say(f"hip: session {settings.session}: the same documents in another order or under other names{what}")
    report.rearrange(found)
    return found


def open_session(name: str, job: Job, model: runtime.Runtime) -> sessions.Session:
    """The session of a job's documents. Raises HipError."""
    kept = [KeptDocument.of(document) for document in job.documents]
    day = model.tokenizer.now.date().isoformat()
    return sessions.open_session(name, job.prefix, kept, model.basis(job.plan), day)


def plan_jobs(
    task: Task,
    documents: list[Document],
    prompt: templates.Prompt,
    model: runtime.Runtime,
    settings: Settings,
) -> list[Job]:
    """What to read and what it takes, a job for each context. Nothing is refused here for want of room or memory."""
    encoder = PromptEncoder(model.tokenizer, prompt.system())
    groups = [[document] for document in documents] if task.each else [documents]
    header = None if settings.session is None else sessions.header_of(settings.session)
    kept = header.basis.kv_cache if header else None
    asked = settings.hip
    if "refresh_interval" in settings.unasked and model.on_gpu:
        asked = replace(asked, refresh_interval=GPU_REFRESH)
    jobs = []
    for position, group in enumerate(groups):
        text = prompt.documents(group)
        prefix = encoder.prefix(text)
        suffixes = [encoder.suffix(prompt.question(group, question)) for question in task.questions]
        prompt_tokens = len(prefix) + max(len(suffix) for suffix in suffixes)
        reserved = settings.max_tokens
        if task.converses:
            placing = (asked, settings.positions, model.shape, settings.unasked, model.limits)
            reserved = task.room or room_for(prompt_tokens, settings.max_tokens, *placing)
        total = prompt_tokens + reserved
        hip, yarn = place(asked, settings.positions, total, model.shape, settings.unasked, model.limits)
        full = model.memory(total, hip, "full")
        int8 = None if hip.backend == "dense" or model.limits is not None else model.memory(total, hip, "int8")
        storage = kv_cache.choose(settings.kv_cache, full, int8, kept, model.limits)
        budget = Budget(
            documents=tuple(_count(document, encoder) for document in group),
            prompt_tokens=prompt_tokens,
            answer_tokens=reserved,
            window=model.shape.window,
            memory=int8 if int8 and storage == "int8" else full,
            packed=hip.packed_from is not None,
            yarn=yarn,
            kv_cache=storage,
            otherwise=full if storage == "int8" else int8,
            can_reach=model.limits is None,
            converses=task.converses,
        )
        plan = Plan(settings.attention, hip, prompt_tokens, total, yarn, storage)
        seeks = settings.wants_sources and not settings.dry_run and budget.fits
        seeker = Seeker(encoder, prompt, text, group) if seeks else None
        citer = Citer(group) if settings.cite or settings.html else None
        keys: list[str | None] = [None] * len(suffixes)
        if settings.jsonl:
            basis = model.basis(plan)
            keys = [answer_key(prompt, group, question, basis, plan, settings) for question in task.questions]
        questions = [Asked(*each) for each in zip(task.questions, suffixes, keys, strict=True)]
        jobs.append(Job(position if task.each else None, prefix, questions, plan, budget, group, seeker, citer))
    return jobs


def _count(document: Document, encoder: PromptEncoder) -> DocumentCount:
    return DocumentCount(
        path=document.path,
        pages=len(document.pages) if document.unit else None,
        unit=document.unit,
        characters=document.characters,
        count_tokens=lambda: len(encoder.text(templates.framed_text(document))),
    )


def fits(job: Job, model: str, can_split: bool) -> bool:
    """Whether a job can be done; where not, says why."""
    error = job.budget.refusal(model, can_split)
    if error is not None:
        messages.report(error)
    return error is None


def announce(jobs: Sequence[Job], model: str, settings: Settings) -> None:
    """Say it when a context is read beyond what the model was trained for, or kept as int8 for want of memory."""
    longest: dict[str, Budget] = {}
    for budget in sorted((job.budget for job in jobs), key=lambda budget: budget.total_tokens):
        longest[budget.placed] = budget
    for placed, budget in longest.items():
        if settings.positions == "auto" and budget.positions != "exact":
            beyond = f"{budget.total_tokens:,} tokens, beyond the {budget.window:,} that {model} was trained for"
            messages.say(f"hip: {beyond}: positions are {placed}")
    coded = [job.budget for job in jobs if job.budget.kv_cache == "int8"]
    if settings.kv_cache == "auto" and coded:
        most = max(budget.memory.needed for budget in coded)
        full = max(budget.otherwise.needed for budget in coded if budget.otherwise)
        messages.say(f"hip: keys and values are kept as int8: {most / GIB:.1f} GiB in all instead of {full / GIB:.1f}")


def _report_file(settings: Settings) -> AbstractContextManager[Output | None]:
    """Where --html writes to: opened before anything is read, so that what cannot be written is told at once."""
    return nullcontext() if settings.html is None or settings.dry_run else Output(settings.html, "--html")


def _picture(result: Result, page: Output | None) -> None:
    if page is not None:
        page.write(report(result))
    if result.settings.heatmap is not None:
        heatmap.draw(result, result.settings.heatmap)


def _answer(task: Task, jobs: list[Job], model: runtime.Runtime, output: Output, result: Result) -> None:
    settings = result.settings
    session = None
    if settings.session is not None:
        (job,) = jobs  # --each is excluded
        session = open_session(settings.session, job, model)
    try:
        with session or nullcontext():
            start = time.monotonic()
            with progress("Loading model", not settings.quiet):
                model.load([job.plan for job in jobs])
            result.load_s = time.monotonic() - start
            for job in jobs:
                _answer_one(task, job, model, session, output, result)
    except RuntimeError as error:
        if out_of_memory := runtime.as_out_of_memory(error):
            raise out_of_memory from error
        raise
    result.peak_bytes = model.peak_bytes()
    if settings.as_json:
        write_json(output, result.as_json())
    if settings.verbose and result.plan and result.execution:
        for line in result.execution.lines(result.plan):
            messages.say(line)
    if settings.verbose or sys.stderr.isatty():
        messages.say(result.statistics())


def _answer_one(
    task: Task,
    job: Job,
    model: runtime.Runtime,
    session: sessions.Session | None,
    output: Output,
    result: Result,
) -> None:
    """Read one context, as far as no `session` keeps it, and answer every question about it, text as it comes."""
    settings, plan = result.settings, job.plan
    reader = model.reader(plan)
    start = time.monotonic()
    with progress("Prefill", not settings.quiet) as update:
        result.cached_tokens += read(reader, job.prefix, session, update, messages.warn)
    result.prefill_s += time.monotonic() - start
    result.prompt_tokens += len(job.prefix)
    for asked in job.asked:
        names = [job.documents[0].path] if task.each else []
        names += [asked.question] if asked.question and (len(task.questions) > 1 or not task.each) else []
        title = ": ".join(names) or None
        shown = title if result.titled else None
        answer, done = _answer_question(asked, shown, job, reader, output, settings)
        if answer.fault is not None:
            where = title or job.budget.documents[0].path
            hint = UNFINISHED if settings.schema and done.fault else "try --dtype float32, or another --model"
            messages.report(HipError(f"{where}: {answer.fault}", hint))
        result.answers.append(answer)
        if result.lines:
            result.lines.answer(asked.key, answer, len(job.prefix), done)
        result.prompt_tokens += done.question_tokens
        result.prefill_s += done.prefill_s
        result.decode_s += done.decode_s
    if result.plan is None or plan.capacity > result.plan.capacity:
        result.plan, result.execution = plan, model.execution(plan, reader)


def _answer_question(
    asked: Asked,
    title: str | None,
    job: Job,
    reader: runtime.Reader,
    output: Output,
    settings: Settings,
) -> tuple[Answer, Done]:
    """Answer one question, and say what the answer rests on where that is asked for."""
    question, suffix = asked.question, asked.suffix
    # Under a schema nothing is shown that may turn out to be half an answer.
    streamed = None if settings.for_programs or settings.extract or settings.schema else output
    # An answer that shows as it comes needs no other sign of life.
    waiting = not settings.quiet and (streamed is None or settings.output is not None)
    # The passages for a question are found from its own tokens; for a summary it has to be written.
    unwritten = bool(settings.extract) and question is not None
    most = 1 if unwritten else settings.max_tokens
    cites = settings.cite and settings.schema is None
    writer = CitingWriter(streamed, title) if cites else AnswerWriter(streamed, title)
    with progress("Answering", waiting) as update:
        if job.seeker is None:
            events = reader.answer(suffix, most)
        else:
            events = reader.answer(suffix, most, job.seeker.watch(suffix))
        done = _follow(events, writer, update)
    evidence = Evidence()
    if job.seeker is not None and done.masses is not None:
        evidence = job.seeker.evidence(done.masses, settings.sources or settings.extract or REPORTED)
    if settings.extract:
        return _extracted(question, title, evidence, job, output, settings), done
    if job.citer is not None:
        cited = writer.cited(job.citer) if isinstance(writer, CitingWriter) else job.citer.citations(writer.text)
        evidence = replace(evidence, citations=cited)
    if streamed is not None:
        if settings.cite:
            output.write("\n" + reference_lines(evidence.citations or (), job.documents))
        if settings.sources:
            output.write("\n" + source_lines(evidence.sources or (), job.documents))
    if done.finish_reason == "length":
        messages.warn(f"the answer was stopped at {settings.max_tokens} tokens; allow more with --max-tokens")
    elif done.finish_reason == "repetition":
        messages.warn("the answer was stopped because it repeats itself; a bigger --model should not")
    answer = Answer(
        question, job.document, writer.text, done.finish_reason, done.completion_tokens, job.documents, done.fault,
        evidence,
    )  # fmt: skip
    if settings.schema is not None:
        answer = _valued(answer, settings.schema)
        if not settings.for_programs and answer.fault is None:
            # What cannot be encoded would become a question mark.
            _write_whole(answer.text if output.utf8 else json.dumps(answer.value), title, output)
    return answer, done


def _valued(answer: Answer, schema: AnswerSchema) -> Answer:
    """The answer with what its JSON means, once it is checked by another library than the one that it was made with."""
    if answer.fault is not None:
        return answer
    try:
        return replace(answer, value=schema.value(answer.text))
    except ValueError as error:
        return replace(answer, fault=str(error))


def _write_whole(text: str, title: str | None, output: Output) -> None:
    writer = AnswerWriter(output, title)
    writer.write(text)
    writer.end()


def _extracted(
    question: str | None,
    title: str | None,
    evidence: Evidence,
    job: Job,
    output: Output,
    settings: Settings,
) -> Answer:
    """The passages instead of an answer."""
    sources = evidence.sources or ()
    text = extract(sources, job.documents)
    if not settings.for_programs:
        _write_whole(text, title, output)
    fault = None if sources else "its attention lies on no passage more than on others"
    return Answer(question, job.document, text, "stop", 0, job.documents, fault, evidence)


def _follow(events: Iterator[Event], writer: AnswerWriter, update: Update) -> Done:
    """Write an answer's text as it comes."""
    done = None
    pieces = 0
    # To the end, not only to Done: the engine makes itself ready for the next question after it.
    for event in events:
        if isinstance(event, Token):
            pieces += 1
            writer.write(event.text)
            update(pieces, None)
        elif isinstance(event, Done):
            done = event
    if done is None:
        raise RuntimeError("the engine ended without saying that it is done")
    writer.end()
    return done


def _exit_code(failed: bool, too_long: bool) -> ExitCode:
    if too_long:
        return ExitCode.DOES_NOT_FIT
    return ExitCode.FAILED if failed else ExitCode.DONE


def prepare_libraries(settings: Settings) -> None:
    """Set what the libraries read once, when they are imported."""
    wait_without_spinning()
    if settings.verbose:
        return
    warnings.simplefilter("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if settings.quiet or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
