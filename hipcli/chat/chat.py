"""`hip chat`, step by step: documents, prompt, budget and engine as for single questions, then a conversation."""

from collections.abc import Sequence
from contextlib import nullcontext

from hipcli.chat.commands import Left, is_command, run_command
from hipcli.chat.evidence import Witness
from hipcli.chat.lines import Lines, Piped, Typed, open_history
from hipcli.chat.talk import Refusal, Talk
from hipcli.cli.settings import Settings
from hipcli.disk import sessions
from hipcli.disk.conversations import KeptConversation
from hipcli.documents.inputs import STDIN, standard_input
from hipcli.engine import runtime
from hipcli.engine.conversation import Conversation
from hipcli.engine.resume import read
from hipcli.errors import ExitCode, HipError
from hipcli.output import messages
from hipcli.output.answers import Output
from hipcli.output.dry_run import write_budgets
from hipcli.output.progress import progress
from hipcli.output.reading import ReadingReport
from hipcli.prompt import templates
from hipcli.prompt.tokens import PromptEncoder
from hipcli.run import (
    Job,
    Task,
    announce,
    as_in_session,
    fits,
    open_session,
    plan_jobs,
    prepare_libraries,
    read_documents,
)  # fmt: skip


def chat(paths: Sequence[str], settings: Settings, room: int | None = None) -> ExitCode:
    """Read the documents at `paths` once, then answer what is asked until there is no more.

    `room` is the number of tokens for questions and answers. Raises HipError for what stops the whole conversation.
    """
    messages.set_quiet(settings.quiet)
    if STDIN in paths:
        raise HipError("-: standard input is the conversation", "give the document as a PATH", ExitCode.USAGE)
    prepare_libraries(settings)
    prompt = templates.load(settings.prompt, settings.parameters, cite=settings.cite)
    prompt.check(asks=True)
    with Output() as output:
        report = ReadingReport()
        documents = read_documents(list(paths), settings, report)
        if not documents:
            return ExitCode.FAILED
        model = runtime.open_runtime(settings, messages.say)
        documents = as_in_session(documents, report, model, settings)
        encoder = PromptEncoder(model.tokenizer, prompt.system())
        encoder.follow_up("")  # refuses models that cannot converse before their weights are loaded
        (job,) = plan_jobs(Task("chat", ("",), converses=True, room=room), documents, prompt, model, settings)
        if settings.dry_run:
            write_budgets(output, "chat", model.name, [job.budget], report.as_json() if settings.as_json else None)
            return _code(report.failed) if job.budget.fits else ExitCode.DOES_NOT_FIT
        if not fits(job, model.name, can_split=False):
            return ExitCode.DOES_NOT_FIT
        announce([job], model.name, settings)

        def encode(question: str, follows: bool) -> list[int]:
            text = prompt.question(documents, question)
            return encoder.follow_up(text) if follows else encoder.suffix(text)

        session = None
        if settings.session is not None:
            session = open_session(settings.session, job, model)
        with session or nullcontext():
            store = session.conversation() if session else None
            with progress("Loading model", not settings.quiet):
                model.load([job.plan])
            capacity = len(job.prefix) + job.budget.answer_tokens
            conversation = Conversation(model.reader(job.plan), job.prefix, capacity, encode)
            lines = _lines()
            _begin(conversation, job, session, store, settings)
            talk = Talk(
                conversation, documents, paths, model.name, output, settings.max_tokens, lines.terminal,
                settings.quiet, settings.verbose, store, Witness(encoder, prompt, documents),
            )  # fmt: skip
            talk.keep()
            failed = _converse(talk, lines)
        return ExitCode.INTERRUPTED if failed is None else _code((failed or report.failed) and not lines.terminal)


def _begin(
    conversation: Conversation,
    job: Job,
    session: sessions.Session | None,
    store: KeptConversation | None,
    settings: Settings,
) -> None:
    """Read the documents, as far as no session keeps them, and take up what was said about them."""
    with progress("Prefill", not settings.quiet) as update:
        read(conversation.reader, job.prefix, session, update, messages.warn, hold=True)
        for snapshot in store.load() if store else ():
            conversation.reader.restore(snapshot)
        for event in conversation.begin(store.turns if store else (), store.length if store else 0):
            update(event.done, event.total)
    for turn in conversation.turns[-1:]:
        asked = messages.counted(len(conversation.turns), "question")
        messages.say(f"hip: {asked} so far; the last was: {turn.question}")
    messages.say(f"hip: room for {conversation.room:,} tokens of questions and answers; /help lists commands")


def _lines() -> Lines:
    stdin = standard_input()
    try:
        typed = stdin.isatty()
    except (ValueError, OSError) as error:  # closed
        hint = "type questions, or pipe them in, one a line"
        raise HipError("standard input is closed: nothing can be asked", hint, ExitCode.USAGE) from error
    if not typed:
        return Piped(stdin)
    try:
        return Typed(open_history())
    except HipError as error:
        from prompt_toolkit.history import InMemoryHistory

        messages.warn(f"what you type is not kept for later: {error.message}")
        return Typed(InMemoryHistory())


def _converse(talk: Talk, lines: Lines) -> bool | None:
    """Answer until there is no more to ask. Returns whether something failed; None where Ctrl-C ended it."""
    failed = False
    while True:
        try:
            line = lines.read()
        except KeyboardInterrupt:
            if not lines.terminal:
                raise
            return None
        if line is None:
            return failed
        if not line.strip():
            continue
        try:
            if is_command(line):
                run_command(talk, line)
            else:
                talk.ask(line.strip())
        except Left:
            return failed
        except Refusal as refusal:
            talk.output.end_line()
            messages.report(refusal)
            failed = True
        if lines.terminal:
            talk.output.write("\n")


def _code(failed: bool) -> ExitCode:
    return ExitCode.FAILED if failed else ExitCode.DONE
