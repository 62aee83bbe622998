"""Passages by the attention of an answer: the ranking, the engine that gives the masses, and what is printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from fakes import FakeRuntime, WordTokenizer
from schemas import schema
from small_engine import DOCUMENT, QUESTION, SPARSE, Bytes, answered, random_llama

from hipcli.documents.document import Document, Page
from hipcli.engine.engine import Engine
from hipcli.engine.events import Done
from hipcli.engine.watch import Masses, Watch
from hipcli.errors import HipError
from hipcli.evidence.reference import Passage
from hipcli.evidence.seeking import Seeker
from hipcli.evidence.sources import excess, heat, sources
from hipcli.prompt import templates
from hipcli.prompt.tokens import PromptEncoder

Run = Callable[..., Any]
STORY = "The mill burned down in 1893, at night. " + "Nothing else happened in that long year at all. " * 20
END = "Its owner was called Abraham Quist, a miller."


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text(STORY + END)
    return path


def test_what_every_question_attracts_does_not_count() -> None:
    usual = torch.tensor([[0.5, 0.1, 0.1], [0.3, 0.2, 0.1]])
    mass = torch.tensor([[0.5, 0.1, 0.4], [0.3, 0.2, 0.1]])
    assert excess(mass, usual).argmax() == 2 and float(excess(usual, usual).abs().max()) == 0
    assert excess(mass, torch.zeros(2, 3)).argmax() == 0


def test_the_best_passages_come_first_and_long_ones_have_no_advantage() -> None:
    passages = [Passage(0, 0, i, i + 1, str(i)) for i in range(4)]
    mass = torch.tensor([1.0, 4.0, 4.0, 1.0])
    found = sources(passages, [1, 100, 4, 0], torch.tensor([0.2, 0.9, 0.5, -1.0]), mass, 3)
    assert [(source.passage.text, source.score) for source in found] == [
        ("2", pytest.approx(0.4)), ("0", pytest.approx(0.1)), ("1", pytest.approx(0.4)),
    ]  # fmt: skip
    assert [
        source.passage.text for source in sources(passages, [1] * 4, torch.tensor([-3.0, -2, -1, -4]), mass, 1)
    ] == ["2"]
    assert sources(passages, [1] * 4, torch.zeros(4), mass, 4) == ()
    assert sources([], [], torch.zeros(0), torch.zeros(0), 4) == ()


def test_attention_that_is_not_finite_is_refused() -> None:
    document = Document("a.txt", "text", (Page(1, "The mill burned."),), "")
    prompt, encoder = templates.load("ask", {}), PromptEncoder(WordTokenizer(), "")
    seeker = Seeker(encoder, prompt, prompt.documents([document]), [document])
    nan = torch.full((1, 2), torch.nan)
    with pytest.raises(HipError, match="not finite"):
        seeker.evidence(Masses(nan, (nan,)), 1)


def test_heat_is_a_token_of_a_page_beside_the_mean() -> None:
    found = heat([(0, 0), (0, 1), (2, 0)], [10, 30, 0], torch.tensor([0.3, 0.3, -0.1]))
    assert found == ((pytest.approx(2.05), pytest.approx(2.05 / 3)), (), (0.0,))
    assert heat([(0, 0)], [5], torch.zeros(1)) == ((0.0,),)


def _all(masses: Masses) -> list[torch.Tensor]:
    return [masses.instruction, *masses.asking]


@pytest.mark.parametrize("cut", [256, 300])
def test_an_engine_tells_what_its_answer_attends_to(cut: int) -> None:
    """However the prompt is read, and the answer stays what it was."""
    model = random_llama()
    watch = Watch([(0, 10), (10, 200), (5, 250)], instruction=2, closing=1)
    found = []
    for chunk in (64, 1 << 20):
        made = Engine(model, Bytes(), SPARSE, capacity=400, chunk_tokens=chunk)
        list(made.read(DOCUMENT[:cut]))
        plain = answered(made, QUESTION, 6)
        for _ in range(2):  # the second question finds the log in use
            done = list(made.answer(QUESTION, 6, watch))[-1]
            assert isinstance(done, Done) and done.masses is not None and done.watch_s > 0
            found.append(done.masses)
        assert answered(made, QUESTION, 6) == plain
    for masses in found:
        assert masses.instruction.shape == (4, 3) and len(masses.asking) == 3
        for mass, expected in zip(_all(masses), _all(found[0]), strict=True):
            torch.testing.assert_close(mass, expected)
            assert float(mass.min()) > 0 and float(mass[:, :2].sum(1).max()) < 1


def test_short_answers_have_no_rows_of_their_own() -> None:
    made = Engine(random_llama(), Bytes(), SPARSE, capacity=400, chunk_tokens=64)
    list(made.read(DOCUMENT))
    done = list(made.answer(QUESTION, 1, Watch([(0, 9)], 0, 2)))[-1]
    assert isinstance(done, Done) and done.masses is not None
    assert len(done.masses.asking) == 2 and not done.masses.instruction.any()


def test_sources_are_printed_behind_the_answer(hip: Run, fake: FakeRuntime, story: Path) -> None:
    fake.attends = "Quist,"
    done = hip("ask", "-q", "Whose mill was it?", "--sources", "2", story)
    answer, _, rest = done.out.partition("\n\n")
    assert (done.code, answer) == (0, "All is well.")
    assert rest == f"Sources, by the answer's attention:\n[1] {story}, line 1 (81.1%)\n    {END}\n"


def test_sources_in_json(hip: Run, fake: FakeRuntime, story: Path) -> None:
    fake.attends = "1893,"
    plain = json.loads(hip("ask", "-q", "When?", "--json", story).out)
    assert plain["answers"][0]["sources"] is None and plain["answers"][0]["heat"] is None
    found = json.loads(hip("ask", "-q", "When?", "--json", "--sources", "3", story).out)
    jsonschema.validate(found, schema("answer.schema.json"))
    (source,) = found["answers"][0]["sources"]
    assert (source["document"], source["page"], source["label"], source["score"]) == ("d1", 1, None, 0.8108)
    assert source["passage"].startswith("The mill burned down in 1893, at night.")
    assert story.read_text()[source["start"] : source["stop"]] == source["passage"]
    assert found["answers"][0]["heat"] == [{"document": "d1", "pages": [1.0]}]


@pytest.mark.parametrize("command", [("ask", "-q", "Whose?"), ("summarize",)])
def test_an_extract_has_no_word_of_the_model(
    hip: Run, fake: FakeRuntime, story: Path, command: tuple[str, ...]
) -> None:
    fake.attends = "Quist,"
    done = hip(*command, "--extract", "2", story)
    assert (done.code, done.out) == (0, f"[{story}, line 1]\n{END}\n")
    found = json.loads(hip(*command, "--extract", "2", "--json", story).out)
    jsonschema.validate(found, schema("answer.schema.json"))
    assert found["answers"][0]["text"] == done.out
    assert found["usage"]["completion_tokens"] == 0


def test_an_extract_of_nothing_is_a_failure(hip: Run, fake: FakeRuntime, story: Path) -> None:
    fake.attends = "Napoleon"
    done = hip("ask", "-q", "Who?", "--extract", "2", story)
    assert done.code == 1 and "lies on no passage more than on others" in done.err


def test_sources_and_extract_exclude_each_other(hip: Run, fake: FakeRuntime, story: Path) -> None:
    assert hip("ask", "-q", "Who?", "--extract", "2", "--sources", "2", story).code == 2


def test_documents_read_one_by_one_keep_their_ids(hip: Run, fake: FakeRuntime, story: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(END)
    fake.attends = "Quist,"
    found = json.loads(hip("summarize", "--each", "--json", "--sources", "1", story, other).out)
    assert [answer["sources"][0]["document"] for answer in found["answers"]] == ["d1", "d2"]
