"""`hip eval` from the command line to the report, on a random model of two layers whose tokens are bytes."""

import json
import random
import runpy
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from hipcli.evaluation import questions
from hipcli.evaluation.perplexity import losses
from hipcli.evaluation.specs import parse
from hipcli.evaluation.subject import Subject
from hipcli.models.resolve import resolve

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
SPARSE = "min_context=0,top_k=64,block_q=16,block_k=8,sink=16,window=32,dense_layers=0"
SPECS = [part for name in ("hip", "streaming", "quest", "hyper") for part in ("-a", f"{name}:{SPARSE}")]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return TINY["save_model"](tmp_path_factory.mktemp("tiny"), "llama", max_position_embeddings=4096)


@pytest.fixture
def book(tmp_path) -> Path:
    draw = random.Random(0)
    words = [" ".join(draw.choices(["the", "mill", "burned", "at", "dawn", "again"], k=7)) for _ in range(400)]
    path = tmp_path / "book.txt"
    path.write_text(". ".join(words) + ".")
    return path


@pytest.fixture
def evaluate(hip, model):
    def run(task: str, *arguments):
        return hip("eval", task, "--model", model, "--device", "cpu", "--dtype", "float32", *arguments)

    return run


def result(done) -> dict:
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_perplexity_of_sparse_attention_differs_and_of_full_does_not(evaluate, book) -> None:
    full = "-a", "hip:min_context=0,top_k=2k,window=512,dense_layers=0"
    found = result(evaluate("perplexity", "--context", "1k", "--n", "2", "-a", "dense", *full, *SPECS, "--json", book))
    rows = {row["attention"].split(":")[0] + str(i): row for i, row in enumerate(found["rows"])}
    assert all(row["metrics"]["nats"]["n"] == 2 * 255 for row in rows.values())
    difference = {name: row["metrics"]["nats"]["difference"] for name, row in rows.items() if name != "dense0"}
    assert abs(difference["hip1"]["mean"]) < 1e-3
    assert all(difference[name]["standard_error"] > 1e-3 for name in ("hip2", "streaming3", "quest4", "hyper5"))


def test_losses_are_those_of_the_plain_model(model, book) -> None:
    subject = Subject(resolve(str(model)), "cpu", "float32")
    ids = subject.encoder.text(book.read_text())[:600]
    found = losses(subject, subject.hidden(ids, parse("dense"), 450)[:-1], ids)
    theirs = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        logits = theirs(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(1)
    expected = -logits[450:599].gather(1, torch.tensor(ids[451:])[:, None])[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_yarn_changes_positions_for_its_own_units_alone(model, book) -> None:
    subject = Subject(resolve(str(model)), "cpu", "float32")
    ids = subject.encoder.text(book.read_text())[:300]
    dense, yarn = parse("dense"), parse("yarn:factor=4")
    before, stretched, after = (subject.hidden(ids, spec, 200) for spec in (dense, yarn, dense))
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    assert (before - stretched).abs().max() > 1e-3
    # So short a text is read densely by hip too, at the same positions.
    torch.testing.assert_close(subject.hidden(ids, parse("hip:factor=4"), 200), stretched, rtol=1e-4, atol=1e-4)


def test_needles_with_heat_map_and_resumed(evaluate, book, tmp_path) -> None:
    results, plot = tmp_path / "results.jsonl", tmp_path / "heat.png"
    arguments = ("--context", "1500,2k", "--kinds", "single,multikey", "--n", "2", *SPECS, "--results", results, book)
    first = evaluate("needle", "--plot", plot, *arguments)
    assert "multikey" in first.out
    assert "found, % by depth" in first.out
    assert plot.read_bytes().startswith(b"\x89PNG")
    size = results.stat().st_size
    # Two questions are two texts of "single" and one of "multikey".
    assert len(results.read_text().splitlines()) == 2 * 3 * 4
    again = evaluate("needle", *arguments)
    assert (again.out, results.stat().st_size) == (first.out, size)
    assert "[" not in again.err
    assert "[1/12]" in evaluate("needle", "--seed", "1", "--shard", "1/2", *arguments).err


def test_questions_and_documents_that_do_not_fit(evaluate, book, tmp_path) -> None:
    (tmp_path / "note.txt").write_text("The mill burned in March. " * 20)
    common = {"document_path": "note.txt", "question": "When did the mill burn?", "answers": ["In March."]}
    options = {"options": {"A": "In March", "B": "In May", "C": "Never"}, "answer_letter": "A"}
    lines = [
        {"id": "1", "type": "fact", **common},
        {"id": "2", "type": "multiple-choice", **common, **options},
        {"id": "3", "type": "summary", **common},
        {"id": "4", "type": "fact", **common, "document_path": "book.txt"},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = result(evaluate("qa", *SPECS, "--context", "2k", "--json", path))
    assert [(row["group"], row["metrics"].keys()) for row in found["rows"][::4][:2]] == [
        ("fact", {"exact", "contains", "f1", "rouge_l"}),
        ("multiple-choice", {"correct", "probability"}),
    ]
    assert found["skipped"][0]["document"] == "book.txt"
    summary = result(evaluate("summary", "-a", "dense", "--context", "2k", "--json", path))
    assert [list(row["metrics"]) for row in summary["rows"]] == [["rouge_l"]]


def test_a_choice_is_read_as_a_question(model, tmp_path) -> None:
    (tmp_path / "note.txt").write_text("The mill burned in March. " * 20)
    item = questions.Item(
        "1", tmp_path / "note.txt", "choice", "When did it burn?", (), {"A": "In March", "B": "Never"}, "A"
    )
    subject = Subject(resolve(str(model)), "cpu", "float32")
    ((unit,), _) = questions.units([item], False, 4096, None, 0, subject)
    # How a question is attended to makes a difference to nothing else.
    specs = (parse(f"hip:{SPARSE},question={question}") for question in ("dense", "sparse"))
    dense, sparse = (unit.run(subject, spec).columns["probability"][0] for spec in specs)
    assert dense != pytest.approx(sparse, abs=2e-3)


def test_agreement(evaluate, book) -> None:
    full = "-a", "hip:min_context=0,top_k=2k,window=512,dense_layers=0"
    arguments = ("--context", "1k", "--n", "1", "--decode", "12", "--json", book)
    found = result(evaluate("agreement", *full, *SPECS[:2], *arguments))["rows"]
    same, sparse = (row["metrics"] for row in found)
    assert same["kl"]["mean"] < 1e-4
    assert same["top1"]["mean"] > 0.99
    assert sparse["kl"]["mean"] > 1e-3
    assert sparse["refresh_top1"]["n"] == 12
    assert len(found[1]["mass_by_layer"]) == 2
    assert 0 < found[1]["mass"] < 1
    assert "mass" not in found[0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("perplexity", "--context", "1m"), "1m"),
        (("perplexity", "--context", "1k", "-a", "flash"), "flash"),
        (("perplexity", "--shard", "3/2"), "3/2"),
        (("needle", "--kinds", "haystack"), "haystack"),
        (("agreement", "--plot", "x.png"), "--plot"),
        (("perplexity", "--context", "64k"), "tokens"),
    ],
)
def test_usage_errors(evaluate, book, arguments, named: str) -> None:
    done = evaluate(*arguments, book)
    assert done.code == 2
    assert named in done.err
    assert done.out == ""


def test_a_line_that_is_no_question_is_named(evaluate, tmp_path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"id": "1"}\n')
    done = evaluate("qa", path)
    assert done.code == 2
    assert "line 1" in done.err
