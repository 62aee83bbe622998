"""`hip chat` with questions from a pipe, and a model that only pretends."""

import json
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRuntime

from hipcli.disk import sessions

Run = Callable[..., Any]


@pytest.fixture
def chat(hip: Run, fake: FakeRuntime, note: Path) -> Run:
    """Lines said in a conversation about the note."""

    def run(*lines: str, options: tuple[str, ...] = ()) -> Any:
        return hip("chat", *options, note, stdin="".join(f"{line}\n" for line in lines).encode())

    return run


def test_documents_are_read_once_and_every_question_comes_behind_what_was_said(chat: Run, fake: FakeRuntime) -> None:
    fake.script = [["In ", "March."], ["The mill."]]
    done = chat("When was it?", "", "And what burned?")
    assert done.code == 0
    assert done.out == "## When was it?\n\nIn March.\n\n## And what burned?\n\nThe mill.\n"
    assert "The mill burned down in March." in "".join(fake.reads)
    first, second = fake.questions
    assert first.strip() == "Read the document above and answer the question: When was it?"
    assert second.strip() == "Read the document above and answer the question: And what burned?"
    assert "In March." not in second, "the answer is in the cache"
    assert "burned down" not in first + second, "the document is, too"


def test_room_is_said_at_the_start(chat: Run, fake: FakeRuntime) -> None:
    assert "hip: room for 300 tokens of questions and answers" in chat("When?", options=("--room", "300")).err
    assert fake.plans[-1].capacity - fake.plans[-1].prompt_tokens == 300
    # The note alone is read densely, and room is not to change that.
    assert chat("When?").code == 0
    assert fake.plans[-1].capacity == 4096 == fake.plans[-1].hip.min_context
    assert chat("When?", options=("--dry-run",)).out.count("reserved for questions and answers") == 1


def test_a_full_conversation_says_so_and_goes_on_when_something_is_dropped(chat: Run, fake: FakeRuntime) -> None:
    fake.script = [["word "] * 20, ["word "] * 20, ["again"]]
    done = chat("One?", "Two?", "Three?", "/drop", "Three?", options=("--room", "140", "-n", "40"))
    assert done.code == 1
    assert re.search(r"hip: error: the conversation is full: the question takes \d+ tokens, 23 are left", done.err)
    assert "hint: forget with /drop the oldest question, with /undo the last, with /new all" in done.err
    assert "## Three?\n\nagain" in done.out
    assert "forgotten: One?\nroom for " in done.out
    assert "One?" not in fake.reads[-1] and "Two?" in fake.reads[-1]


def test_an_answer_that_the_window_cuts_is_said_to_be(chat: Run, fake: FakeRuntime) -> None:
    fake.finish_reason = "length"
    assert "hip: warning: the answer was stopped at 3 tokens: the conversation is full" in chat("When?").err
    assert "stopped at 3 tokens; allow more with --max-tokens" in chat("When?", options=("-n", "3")).err


def test_commands_that_forget(chat: Run, fake: FakeRuntime) -> None:
    done = chat("One?", "Two?", "/undo", "Three?", "/new", "/undo", "Four?")
    assert "\nforgotten: Two?\nroom for " in done.out
    assert "\n2 questions forgotten; the documents stay read\n" in done.out
    assert "hip: error: /undo: nothing was asked yet" in done.err
    assert done.code == 1
    first, _, third, fourth = (question.strip(" ") for question in fake.questions)
    assert first.startswith("Read") or first.startswith("\n")
    assert fourth.replace("Four", "One") == first, "the first behind the documents again"
    assert third != first.replace("One", "Three")


def test_unknown_commands_are_said_with_the_closest(chat: Run, fake: FakeRuntime) -> None:
    done = chat("/sorces", "/xyzzy", " /dev/null, what is it?")
    assert "hip: error: /sorces: no such command\nhint: did you mean /sources?" in done.err
    assert "hip: error: /xyzzy: no such command\nhint: /help lists the commands" in done.err
    assert done.out == "## /dev/null, what is it?\n\nAll is well.\n"


def test_help_lists_every_command(chat: Run) -> None:
    done = chat("/help", "/quit", "When?")
    assert done.code == 0
    names = "sources quote pages save undo drop new model help quit"
    assert [line.split()[0] for line in done.out.splitlines()[:-1]] == [f"/{name}" for name in names.split()]


def test_pages_and_model(chat: Run, note: Path) -> None:
    done = chat("/pages", "/model", "/model a/b c", options=("--model", "tiny"))
    page, model, other = done.out.splitlines()
    assert page == f"1. {note}: 31 characters"
    assert model == "tiny"
    assert other.endswith(f"leave, and say hip chat --model 'a/b c' {note}")


def test_pages_have_titles(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text("<h1>Fire</h1><p>It burned.</p><h1>Water\x1b[31m</h1><p>It rained.</p>")
    lines = hip("chat", page, stdin=b"/pages\n").out.splitlines()
    assert lines[0].startswith(f"1. {page}: 2 sections, ")
    assert lines[1] == "   section 1: Fire"


def test_the_conversation_is_saved_as_markdown(chat: Run, fake: FakeRuntime, tmp_path: Path, note: Path) -> None:
    saved = tmp_path / "talk.md"
    done = chat("When?", f"/save {saved}", "Who?", f"/save {saved}", f"/save {note}", "/save", "/save /nowhere/a")
    answer = "All is well."
    assert saved.read_text() == (
        f"# A conversation\n\n* {note}\n\nAnswers by {fake.name}.\n\n> When?\n\n{answer}\n\n> Who?\n\n{answer}\n"
    )
    assert f"saved to {saved}: 2 questions" in done.out
    assert f"hip: error: /save {note}: is there already" in done.err
    assert "burned down" in note.read_text()
    assert "hip: error: /save: no file is named" in done.err
    assert "hip: error: /save /nowhere/a: No such file or directory" in done.err


def test_without_an_answer_there_is_no_evidence(chat: Run, fake: FakeRuntime) -> None:
    fake.attends = "Napoleon"
    done = chat("/sources", "When?", "/sources", "/quote")
    assert "hip: error: nothing was asked yet" in done.err
    assert "\nSources: the answer's attention lies on no passage more than on others.\n" in done.out
    assert done.out.endswith("\nReferences: the answer quotes nothing and names no page.\n")


def test_evidence_of_the_last_answer_is_shown_with_its_place(chat: Run, fake: FakeRuntime, note: Path) -> None:
    text = note.read_text()
    words = text.split()[:4]
    fake.attends = words[1]
    fake.script = [[f'It says "{" ".join(words)}".'], ['It says "whales sing under purple hills".']]
    done = chat("When?", "/sources", "/quote", "Who?", "/quote", "/undo", "/quote", "/sources")
    first, second, third = done.out.split("References:\n")[1:]
    assert f"[1] {note}, line 1 (" in done.out
    assert f'[1] "{" ".join(words)}"\n    verified: {note}, line 1\n' in first and "verified" in third
    assert "not found in the documents" in second
    assert "nothing is known of what the attention of the last answer lay on" in third


def test_what_is_no_answer_is_forgotten(chat: Run, fake: FakeRuntime) -> None:
    fake.script = [[], ["Now."]]
    done = chat("When?", "When?")
    assert (done.code, done.out) == (1, "## When?\n\nNow.\n")
    assert "hip: error: the answer is empty; the question is forgotten" in done.err
    assert fake.questions[0] == fake.questions[1]


def test_a_broken_cache_ends_the_conversation(chat: Run, fake: FakeRuntime) -> None:
    from hipcli.errors import HipError

    fake.failure = HipError("keys and values are not those of the text")
    done = chat("When?", "/help")
    assert (done.code, done.out) == (1, "")


def test_it_goes_on_tomorrow(chat: Run, fake: FakeRuntime, note: Path) -> None:
    note.write_text("The mill burned down in March. " * 20)
    session = ("--session", "mill")
    fake.script = [["In ", "March."], ["The mill."], ["Nobody."]]
    assert chat("When was it?", "What?", "/undo", options=session).code == 0
    fake.sent.clear()
    done = chat("Who?", options=session)
    assert "hip: 1 question so far; the last was: When was it?" in done.err
    assert fake.questions[-1].strip().endswith("Who?")
    sent = fake.tokenizer.decode(fake.sent)
    assert sent == fake.questions[-1] + "Nobody.", "not a token of the documents, nor of the turns"
    folder = sessions.folder_of("mill")
    kept = json.loads((folder / "conversation.json").read_text())
    assert [turn["answer"] for turn in kept["turns"]] == ["In March.", "Nobody."]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in folder.iterdir())
    assert sessions.orphans(folder) == []


def test_single_questions_and_conversations_share_a_session(chat: Run, hip: Run, fake: FakeRuntime, note: Path) -> None:
    note.write_text("The mill burned down in March. " * 20)
    assert hip("ask", "-q", "When?", "--session", "mill", note).code == 0
    fake.sent.clear()
    assert chat("When?", options=("--session", "mill")).code == 0
    end = len(fake.tokenizer.encode(fake.reads[0], control=False)) % 64
    question = fake.tokenizer.encode(fake.questions[-1] + "All is well.", control=False)
    assert len(fake.sent) == end + len(question), "no whole query block of the documents"
    turns = sorted(path.name for path in sessions.folder_of("mill").glob("turn-*"))
    assert len(turns) == 2
    done = hip("ask", "--json", "-q", "When?", "--session", "mill", note)
    assert json.loads(done.out)["usage"]["cached_tokens"] > 128
    assert sorted(path.name for path in sessions.folder_of("mill").glob("turn-*")) == turns
    assert "left over" not in hip("cache", "ls").out and "mill" in hip("cache", "ls").out


def test_a_full_disk_costs_a_warning_and_not_the_conversation(
    chat: Run, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    done = chat("When?", "Who?", options=("--session", "mill"))
    assert (done.code, done.out.count("All is well.")) == (0, 2)
    assert done.err.count("the conversation is not saved any more: ") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json"], "--json has no effect on a conversation"),
        (["-o", "out"], "--output has no effect on a conversation"),
        (["--room", "3"], "--room"),
        (["-"], "standard input is the conversation"),
    ],
)
def test_options_that_make_no_sense(
    hip: Run, fake: FakeRuntime, note: Path, arguments: list[str], message: str
) -> None:
    done = hip("chat", *arguments, note, stdin=b"When?\n")
    assert done.code == 2
    assert message in done.err
    assert fake.loads == 0


def test_without_documents(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    assert "no documents: no PATH is given" in hip("chat", stdin=b"When?\n").err
    assert hip("chat", tmp_path / "missing.txt", stdin=b"When?\n").code == 1


def test_what_does_not_fit_is_refused(hip: Run, fake: FakeRuntime, note: Path) -> None:
    fake.shape = replace(fake.shape, window=200)
    done = hip("chat", "--positions", "exact", "--room", "400", note, stdin=b"When?\n")
    assert done.code == 3
    assert "with --room" in done.err
