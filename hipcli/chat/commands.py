"""What can be said in a conversation besides questions: `/undo`, `/save FILE` and so on."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hipcli.chat.talk import Refusal, Talk
from hipcli.chat.transcript import markdown
from hipcli.documents.document import Document
from hipcli.errors import HipError
from hipcli.output.answers import Output
from hipcli.output.citing import reference_lines
from hipcli.output.messages import counted, one_line
from hipcli.output.places import source_lines


class Left(Exception):
    """The user wants no more."""


@dataclass(frozen=True)
class Command:
    """`run` takes the conversation and what stands behind the name, and gives lines to show. It may raise Refusal."""

    usage: str
    help: str
    run: Callable[[Talk, str], Iterator[str]]


def is_command(line: str) -> bool:
    """Whether a line is a command; a question that begins with a slash has a space before it."""
    return line.startswith("/")


def run_command(talk: Talk, line: str) -> None:
    """Do what a command says, and show what it gives. Raises Left, and Refusal where that cannot be done."""
    name, _, argument = line.strip().removeprefix("/").partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        close = get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean /{close[0]}?" if close else "/help lists the commands;"
        raise Refusal(f"/{name}: no such command", f"{hint} to ask a question that begins so, put a space before it")
    for shown in command.run(talk, argument.strip()):
        talk.output.write(f"{shown}\n")


def _sources(talk: Talk, argument: str) -> Iterator[str]:
    evidence = talk.evidence()
    if evidence is None or evidence.sources is None:
        yield "nothing is known of what the attention of the last answer lay on"
    else:
        yield source_lines(evidence.sources, talk.documents).rstrip("\n")


def _quote(talk: Talk, argument: str) -> Iterator[str]:
    evidence = talk.evidence()
    citations = evidence.citations if evidence else ()
    yield reference_lines(citations or (), talk.documents).rstrip("\n")


def _pages(talk: Talk, argument: str) -> Iterator[str]:
    for number, document in enumerate(talk.documents, 1):
        yield from _of_document(number, document)


def _of_document(number: int, document: Document) -> Iterator[str]:
    facts = [counted(len(document.pages), document.unit)] if document.unit else []
    facts.append(f"{document.characters:,} characters")
    yield f"{number}. {one_line(document.path)}: {', '.join(facts)}"
    for page in document.pages:
        if document.unit and page.label is not None and page.label != str(page.number):
            yield f"   {document.unit} {page.number}: {one_line(page.label)}"


def _save(talk: Talk, argument: str) -> Iterator[str]:
    if not argument:
        raise Refusal("/save: no file is named", "say /save FILE")
    path = Path(argument).expanduser()
    if path.exists() and path.resolve() not in talk.saved_to:
        raise Refusal(f"/save {argument}: is there already", "choose another name")
    try:
        with Output(path) as output:
            output.write(markdown(talk.conversation.turns, talk.documents, talk.model))
    except HipError as error:
        raise Refusal(f"/save {error.message}", error.hint and "choose a place that can be written to") from error
    talk.saved_to.add(path.resolve())
    yield f"saved to {one_line(str(path))}: {counted(len(talk.conversation.turns), 'question')}"


def _undo(talk: Talk, argument: str) -> Iterator[str]:
    _require_turns(talk, "/undo")
    turn = talk.conversation.undo()
    talk.keep()
    yield f"forgotten: {one_line(turn.question)}"
    yield _room(talk)


def _drop(talk: Talk, argument: str) -> Iterator[str]:
    _require_turns(talk, "/drop")
    count = int(argument or 1) if (argument or "1").isdecimal() else 0
    if not 1 <= count <= len(talk.conversation.turns):
        what = f"there are {counted(len(talk.conversation.turns), 'question')}"
        raise Refusal(f"/drop {argument}: {what}", "say /drop, or /drop and how many")
    dropped = talk.drop(count)
    yield from (f"forgotten: {one_line(turn.question)}" for turn in dropped)
    yield _room(talk)


def _new(talk: Talk, argument: str) -> Iterator[str]:
    count = len(talk.conversation.turns)
    talk.conversation.forget()
    talk.keep()
    yield f"{counted(count, 'question')} forgotten; the documents stay read"
    yield _room(talk)


def _model(talk: Talk, argument: str) -> Iterator[str]:
    if not argument:
        yield one_line(talk.model)
    else:
        command = shlex.join(["hip", "chat", "--model", argument, *talk.paths])
        yield f"another model has to read the documents itself: leave, and say {one_line(command)}"


def _help(talk: Talk, argument: str) -> Iterator[str]:
    width = max(len(command.usage) for command in COMMANDS.values())
    yield from (f"{command.usage:{width}}  {command.help}" for command in COMMANDS.values())
    yield "Enter asks, Alt-Enter begins another line, Ctrl-C stops an answer, Ctrl-D leaves."


def _quit(talk: Talk, argument: str) -> Iterator[str]:
    raise Left


def _require_turns(talk: Talk, name: str) -> None:
    if not talk.conversation.turns:
        raise Refusal(f"{name}: nothing was asked yet")


def _room(talk: Talk) -> str:
    return f"room for {talk.conversation.room:,} more tokens"


_ALL: Sequence[Command] = (
    Command("/sources", "passages that the last answer rests on", _sources),
    Command("/quote", "what the last answer quotes, and where that stands", _quote),
    Command("/pages", "the documents and their pages", _pages),
    Command("/save FILE", "write the conversation to FILE, as Markdown", _save),
    Command("/undo", "forget the last question and its answer", _undo),
    Command("/drop [N]", "forget the oldest question, or the N oldest", _drop),
    Command("/new", "forget all questions, and keep the documents", _new),
    Command("/model [NAME]", "which model answers, or how to start another", _model),
    Command("/help", "this list", _help),
    Command("/quit", "leave", _quit),
)
COMMANDS = {command.usage.partition(" ")[0].removeprefix("/"): command for command in _ALL}
