"""The command line with the real default model, end to end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

pytestmark = [pytest.mark.model, pytest.mark.slow]

Run = Callable[..., Any]


@pytest.fixture
def mill(tmp_path: Path) -> Path:
    path = tmp_path / "mill.txt"
    path.write_text("The mill at Oxley burned down in March 1887. Miss Gray rebuilt it in stone and sold it in 1931.\n")
    return path


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    path = tmp_path / "rain.txt"
    path.write_text("Rain fell on Tuesday. The river rose by two metres and the bridge was closed for a week.\n")
    return path


def answers(done: Any) -> list[str]:
    assert done.code == 0, done.err
    return [answer["text"] for answer in json.loads(done.out)["answers"]]


def test_questions_do_not_disturb_one_another(hip: Run, mill: Path) -> None:
    questions = ("Who rebuilt the mill?", "When did the mill burn down?")
    together = answers(hip("ask", "--json", "-n", 8, "-q", questions[0], "-q", questions[1], mill))
    alone = [answers(hip("ask", "--json", "-n", 8, "-q", question, mill))[0] for question in questions]
    assert together == alone
    assert all(together)


def test_documents_one_by_one_do_not_disturb_one_another(hip: Run, mill: Path, rain: Path) -> None:
    each = answers(hip("summarize", "--json", "--each", "-n", 8, mill, rain))
    alone = [answers(hip("summarize", "--json", "-n", 8, path))[0] for path in (mill, rain)]
    assert each == alone
    assert all(each)


def test_seeded_sampling_repeats_itself(hip: Run, mill: Path) -> None:
    arguments = ("ask", "-q", "What happened?", "-n", 8, "-t", 1.5, mill)
    first, again = (hip(*arguments, "--seed", 7).out for _ in range(2))
    assert first == again
    assert hip(*arguments, "--seed", 8).out != first


def test_dense_attention(hip: Run, mill: Path) -> None:
    done = hip("ask", "--json", "--attention", "dense", "-n", 8, "-q", "Who rebuilt the mill?", mill)
    assert answers(done)[0]
    attention = json.loads(done.out)["attention"]
    assert (attention["kind"], attention["rows"], attention["positions"]) == ("dense", "dense", "exact")
    assert (attention["prefill"], attention["decode"]) == (None, None)
    assert (attention["implementation"], attention["tokenizer_because"]) == ("decoder", None)


def test_an_answer_under_a_schema(hip: Run, mill: Path, tmp_path: Path) -> None:
    schema = tmp_path / "event.json"
    event = {
        "type": "object",
        "properties": {"what": {"type": "string", "maxLength": 30}, "year": {"type": "integer", "minimum": 1000}},
        "required": ["what", "year"],
        "additionalProperties": False,
    }
    schema.write_text(json.dumps({"type": "array", "minItems": 1, "maxItems": 2, "items": event}))
    for sampling in ((), ("-t", 1.5, "--seed", 3)):
        done = hip("ask", "--json", "--schema", schema, "-q", "What happened, and when?", *sampling, mill)
        (text,) = answers(done)
        (value,) = (answer["value"] for answer in json.loads(done.out)["answers"])
        assert value == json.loads(text) and 1 <= len(value) <= 2
        jsonschema.validate(value, json.loads(schema.read_text()))
    cut = hip("ask", "--schema", schema, "-n", 6, "-q", "What happened, and when?", mill)
    assert (cut.code, cut.out) == (1, "")
    assert "the answer ends before its JSON does" in cut.err
