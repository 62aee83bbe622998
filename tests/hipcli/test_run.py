"""summarize and ask from the shell's point of view, with a model that only pretends."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes import FakeRuntime
from schemas import schema

from hipcli.documents.document import Document, Page

Run = Callable[..., Any]


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """A document so long that attention is sparse, and within the window."""
    path = tmp_path / "story.txt"
    path.write_text("word " * 2500)
    return path


def length(fake: FakeRuntime, text: str) -> int:
    return len(fake.tokenizer.encode(text, control=False))


def test_summarize_prints_the_answer_and_nothing_else(hip: Run, fake: FakeRuntime, note: Path) -> None:
    done = hip("summarize", note)
    assert (done.code, done.out, done.err) == (0, "All is well.\n", "")
    assert "The mill burned down" in fake.reads[0]
    assert "Summarize the document above" in fake.questions[0]
    assert "Summarize the document above" not in fake.reads[0]


def test_a_gpu_selects_more_often_unless_told_otherwise(hip: Run, fake: FakeRuntime, story: Path) -> None:
    for fake.on_gpu, given, used in ((False, (), 8), (True, (), 2), (True, ("--refresh-interval", "8"), 8)):
        done = hip("ask", "--json", "-q", "Who?", *given, story)
        assert fake.plans[-1].decode.refresh_interval == used
        assert json.loads(done.out)["attention"]["decode"]["refresh_interval"] == used


def test_length_reaches_the_prompt(hip: Run, fake: FakeRuntime, note: Path) -> None:
    hip("summarize", "-l", "short", note)
    hip("summarize", "--length", "long", note)
    assert "two or three sentences" in fake.questions[0]
    assert "paragraphs" in fake.questions[1]


def test_all_paths_are_one_context(hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("Rain fell.")
    assert hip("summarize", note, other).out == "All is well.\n"
    assert len(fake.reads) == 1
    assert fake.reads[0].index("mill") < fake.reads[0].index("Rain")
    assert "documents above" in fake.questions[0]


def test_each_file_gets_a_summary_of_its_own(hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("Rain fell.")
    fake.script = [["Fire."], ["Rain."]]
    done = hip("summarize", "--each", note, other)
    assert done.out == f"## {note}\n\nFire.\n\n## {other}\n\nRain.\n"
    assert ["mill" in read for read in fake.reads] == [True, False]
    assert fake.loads == 1


def test_questions_are_answered_from_one_reading(hip: Run, fake: FakeRuntime, note: Path) -> None:
    fake.script = [["\n\nIn March. \n"], ["  The mill."]]
    done = hip("ask", "-q", "When?", "-q", "What?", note)
    assert done.out == "## When?\n\nIn March. \n\n## What?\n\nThe mill.\n"
    assert len(fake.reads) == 1
    assert [("When?" in text, "What?" in text) for text in fake.questions] == [(True, False), (False, True)]
    assert "?" not in fake.reads[0]
    assert fake.answering == 0, "every answer was followed to its end"


def test_questions_from_a_file(hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.txt"
    questions.write_bytes(b"\xef\xbb\xbfWhen?\r\n\r\n  What?\r\n")
    hip("ask", "--questions", questions, note)
    assert [text.split("answer the question: ")[1].strip() for text in fake.questions] == ["When?", "What?"]


def test_questions_from_standard_input(hip: Run, fake: FakeRuntime, note: Path) -> None:
    assert hip("ask", "--questions", "-", note, stdin=b"When?\n").code == 0
    assert len(fake.questions) == 1


@pytest.mark.parametrize("paths", [[], ["-"]])
def test_questions_and_documents_cannot_both_be_standard_input(hip: Run, fake: FakeRuntime, paths: list[str]) -> None:
    done = hip("ask", "--questions", "-", *paths, stdin=b"When?\n")
    assert done.code == 2
    assert "--questions -" in done.err


def test_documents_from_a_pipe_equal_the_file(hip: Run, fake: FakeRuntime, note: Path) -> None:
    data = note.read_bytes()
    assert hip("summarize", stdin=data).out == hip("summarize", "-", stdin=data).out == hip("summarize", note).out
    assert fake.reads[0] == fake.reads[1]
    assert fake.reads[2] == fake.reads[0].replace("standard input", str(note))


def test_without_path_on_a_terminal_nothing_waits(hip: Run, fake: FakeRuntime) -> None:
    done = hip("summarize")
    assert done.code == 2
    assert "PATH" in done.err


def test_json_follows_its_schema(hip: Run, fake: FakeRuntime, note: Path) -> None:
    fake.script = [["In "], [" March.\n"]]
    done = hip("ask", "--json", "-q", "When?", "-q", "Wo ist die Mühle?", note)
    answer = json.loads(done.out)
    jsonschema.validate(answer, schema("answer.schema.json"))
    assert done.err == ""
    assert [item["text"] for item in answer["answers"]] == ["In", "March."]
    assert "Mühle" in done.out
    assert answer["documents"][0]["path"] == str(note)
    assert answer["documents"][0]["characters"] == 31
    assert answer["documents"][0]["pages"] is None
    assert [item["fault"] for item in answer["answers"]] == [None, None]
    assert answer["usage"]["prompt_tokens"] == sum(length(fake, text) for text in (*fake.reads, *fake.questions))
    assert answer["usage"]["completion_tokens"] == 2
    assert answer["timings"]["decode_s"] == 0.5
    assert answer["memory"]["peak_gib"] == 3.0


def test_json_of_each_names_the_document_of_an_answer(hip: Run, fake: FakeRuntime, note: Path) -> None:
    answer = json.loads(hip("summarize", "--each", "--json", note, note).out)
    jsonschema.validate(answer, schema("answer.schema.json"))
    assert [item["document"] for item in answer["answers"]] == ["d1", "d2"]
    assert [item["question"] for item in answer["answers"]] == [None, None]
    assert [item["id"] for item in answer["documents"]] == ["d1", "d2"]


def test_a_broken_document_does_not_stop_the_others(hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path) -> None:
    done = hip("summarize", tmp_path / "missing.txt", note)
    assert (done.code, done.out) == (1, "All is well.\n")
    assert done.err.startswith(f"hip: error: {tmp_path / 'missing.txt'}: ")


def test_without_a_readable_document_no_model_is_opened(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    done = hip("summarize", tmp_path / "missing.txt")
    assert (done.code, done.out) == (1, "")
    assert fake.settings is None


def test_an_answer_cut_off_is_said_to_be(hip: Run, fake: FakeRuntime, note: Path) -> None:
    fake.finish_reason = "length"
    done = hip("summarize", "-n", "40", note)
    assert done.code == 0
    assert "hip: warning: the answer was stopped at 40 tokens" in done.err
    assert hip("summarize", "--quiet", note).err == ""


@pytest.mark.parametrize(
    ("answer", "fault"), [([], "the answer is empty"), (["\n", " "], "the answer is one token over and over")]
)
def test_an_answer_that_is_none_is_an_error(
    hip: Run, fake: FakeRuntime, note: Path, answer: list[str], fault: str
) -> None:
    fake.pieces, fake.fault = answer, fault
    done = hip("ask", "-q", "When?", note)
    assert (done.code, done.out) == (1, "")
    error, hint = done.err.splitlines()
    assert error == f"hip: error: When?: {fault}"
    assert hint.startswith("hint: ") and "--model" in hint
    done = hip("summarize", "--json", note)
    assert (done.code, done.err.splitlines()[0]) == (1, f"hip: error: {note}: {fault}")
    result = json.loads(done.out)
    jsonschema.validate(result, schema("answer.schema.json"))
    assert [(item["text"], item["fault"]) for item in result["answers"]] == [("", fault)]


def test_a_fault_names_its_question_or_file(hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path) -> None:
    fake.pieces, fake.fault = [], "the answer is empty"
    questions = hip("ask", "-q", "When?", "-q", "Who?", note)
    assert questions.err.splitlines()[::2] == [f"hip: error: {name}: {fake.fault}" for name in ("When?", "Who?")]
    other = tmp_path / "other.txt"
    other.write_text("Rain fell.")
    files = hip("summarize", "--each", note, other)
    assert files.err.splitlines()[::2] == [f"hip: error: {path}: {fake.fault}" for path in (note, other)]


def test_verbose_prints_the_plan_and_statistics(hip: Run, fake: FakeRuntime, note: Path, story: Path) -> None:
    done = hip("summarize", "-v", note)
    assert done.out == "All is well.\n"
    *lines, statistics = done.err.splitlines()
    assert lines == [
        "model: decoder (it is a fake); weights packed",
        "tokenizer: tokenizers",
        "self-check: passed in 0.12 s",
        f"documents: all keys ({fake.plans[0].prompt_tokens} tokens, and rows see 4,096 keys anyway)",
        "decode: eager (it is a fake)",
    ]
    assert "decode 12.0 tok/s" in statistics and " · dense · " in statistics
    *lines, statistics = hip("summarize", "-v", story).err.splitlines()
    assert lines[3:6] == [
        "documents: summary-exact by torch, top_k=1024 sink=64 window=512",
        "layers: 30; 7 of them read all keys, 0 the latest ones",
        "answer: summary, top_k=2048 window=512, selected again every 8 tokens",
    ]
    assert " · hip top_k=1024 refresh_interval=8 · " in statistics
    assert hip("summarize", story).err == ""


def test_json_holds_the_attention_that_ran(hip: Run, fake: FakeRuntime, note: Path, story: Path) -> None:
    short, long, both = (
        json.loads(hip("summarize", "--json", *given).out)["attention"]
        for given in ((note,), (story,), ("--each", story, note))
    )
    assert (short["rows"], short["prefill"], short["decode"]) == ("dense", None, None)
    assert short["dense_because"] is not None
    assert (long["rows"], long["dense_because"]) == ("sparse", None)
    assert (long["prefill"]["min_context"], long["prefill"]["top_k"]) == (0, 1024)
    assert (long["decode"]["top_k"], long["decode"]["selector"]) == (2048, "summary")
    assert both == long, "that of the longest prompt"


def test_a_long_answer_to_a_short_document_is_told_to_become_sparse(hip: Run, fake: FakeRuntime, note: Path) -> None:
    done = hip("summarize", "--json", "-v", "-n", "5000", note)
    attention = json.loads(done.out)["attention"]
    assert (attention["prefill"], attention["decode"]["top_k"]) == (None, 2048)
    assert " · dense answer top_k=2048 refresh_interval=8 · " in done.err


def test_bugs_are_one_line(hip: Run, fake: FakeRuntime, note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.failure = KeyError("boom")
    done = hip("summarize", note)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[0] == "hip: internal error: KeyError: 'boom'"
    assert "HIPCLI_DEBUG=1" in done.err
    monkeypatch.setenv("HIPCLI_DEBUG", "1")
    assert "Traceback" in hip("summarize", note).err


def test_out_of_memory_is_told_as_such(hip: Run, fake: FakeRuntime, note: Path) -> None:
    fake.failure = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    done = hip("summarize", note)
    assert done.code == 3
    assert "hip: error: out of memory" in done.err


def test_the_attention_asked_for(hip: Run, fake: FakeRuntime, note: Path) -> None:
    assert hip("summarize", "--top-k", "512", "--selector", "representative", note).code == 0
    assert fake.settings.hip.top_k == 512
    assert fake.settings.hip.selector == "representative"
    assert hip("summarize", "--attention", "streaming", "--top-k", "512", "--window", "256", note).code == 0
    assert (fake.settings.hip.top_k, fake.settings.hip.window) == (0, 768)
    assert hip("summarize", "--attention", "dense", note).code == 0
    assert fake.settings.hip.backend == "dense"


def test_the_context_has_room_for_the_longest_question_and_its_answer(hip: Run, fake: FakeRuntime, note: Path) -> None:
    hip("ask", "-q", "Who?", "-q", "Who " * 50, "-n", "99", note)
    (plan,) = fake.plans
    assert plan.prompt_tokens == length(fake, fake.reads[0]) + max(length(fake, each) for each in fake.questions)
    assert plan.capacity == plan.prompt_tokens + 99


def test_pages_are_marked(hip: Run, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = (Page(3, "three"), Page(4, "four"))
    document = Document("b.pdf", "pdf", pages, "0" * 64, ("a warning",), unit="page")
    monkeypatch.setattr("hipcli.output.reading.read_documents", lambda *_: (item for item in [document]))
    done = hip("summarize", "--json", "b.pdf")
    assert "[page 3]\nthree\n[page 4]\nfour" in fake.reads[0]
    assert done.err == "hip: warning: b.pdf: a warning\n"
    (described,) = json.loads(done.out)["documents"]
    assert (described["pages"], described["warnings"]) == (2, ["a warning"])


def test_what_is_not_read_is_listed_too(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    (tmp_path / "b.txt").write_text("Open.")
    done = hip("summarize", "--json", tmp_path)
    answer = json.loads(done.out)
    jsonschema.validate(answer, schema("answer.schema.json"))
    assert [(item["id"], item["status"]) for item in answer["documents"]] == [(None, "skipped"), ("d1", "read")]
    assert f"hip: warning: {tmp_path}/a.bin: not read: is binary" in done.err
    budget = json.loads(hip("summarize", "--json", "--dry-run", tmp_path).out)
    jsonschema.validate(budget, schema("budget.schema.json"))
    assert [item["status"] for item in budget["documents"]] == ["skipped", "read"]


def test_file_names_that_are_not_utf8(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    Path(path).write_text("Open.")
    done = hip("summarize", "--json", path)
    assert done.code == 0
    assert json.loads(done.out)["documents"][0]["path"] == path
    assert hip("summarize", "--each", path, path).code == 0
