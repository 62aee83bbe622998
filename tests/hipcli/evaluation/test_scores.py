"""Scores and intervals against values worked out by hand or published."""

import math
import random

import pytest

from hipcli.evaluation.intervals import bootstrap, estimate, normal, standard_error, wilson
from hipcli.evaluation.report import heat, rows
from hipcli.evaluation.scoring import Rouge, contains, exact_match, found, normalised, token_f1
from hipcli.evaluation.specs import parse


@pytest.mark.parametrize(
    ("answer", "is_found"),
    [("It is 1234567.", True), ("1234567", True), ("12345678", False), ("x1234567", False), ("1234 567", False)],
)
def test_found_takes_whole_words_only(answer: str, is_found: bool) -> None:
    assert found(answer, "1234567") == is_found


def test_squad_normalisation() -> None:
    assert normalised("The  Cat's  a-hat!") == "cats ahat"
    assert exact_match("The Mill.", ["a mine", "mill"]) == 1
    assert exact_match("The old mill.", ["mill"]) == 0
    assert contains("It was the old Mill, I think.", ["mine", "the mill"]) == 1
    assert contains("It was a windmill.", ["mill"]) == 0


def test_token_f1_takes_the_best_reference() -> None:
    # Two of three words are right, two of four are found: 2 * 2 / (3 + 4).
    assert token_f1("red old house", ["blue", "old brick house burned"]) == pytest.approx(4 / 7)
    assert token_f1("red", ["blue"]) == 0


def test_rouge_l() -> None:
    # Longest common subsequence "the dog ran": precision 3/3, recall 3/5.
    assert Rouge()("the dog ran", ["unrelated", "the big dog ran home"]) == pytest.approx(0.75)


def test_wilson() -> None:
    # 10 of 10: the lower end is 10 / (10 + 1.96^2).
    all_right = wilson([1.0] * 10)
    assert all_right.mean == 1
    assert all_right.high == pytest.approx(1)
    assert all_right.low == pytest.approx(10 / (10 + 1.959964**2))
    half = wilson([1.0, 0.0] * 50)
    assert (half.low, half.high) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))


def test_intervals_hold_the_mean_in_most_samples() -> None:
    draw = random.Random(0)
    for make in (normal, bootstrap):
        inside = 0
        for _ in range(100):
            made = make([draw.gauss(3, 1) for _ in range(60)])
            inside += made.low <= 3 <= made.high
        assert 88 <= inside <= 100
    assert standard_error([1.0, 3.0]) == pytest.approx(1)
    assert estimate([2.0], "normal").high == 2


def record(text: str, context: int, number: int, values: list[float], metric: str = "exact") -> dict:
    details = {"depths": [0.05, 0.95], "hits": [1, 0], "answers": []}
    return {
        "group": "single", "context": context, "number": number, "seconds": 1, "columns": {metric: values},
        "details": details,
    }  # fmt: skip


def test_differences_are_paired() -> None:
    specs = [parse("dense"), parse("hip")]
    found = rows(
        {
            "dense": [record("dense", 8, 0, [1.0, 1.0]), record("dense", 8, 1, [0.0, 0.0])],
            # The first unit is missing: only the second can be compared.
            "hip": [record("hip", 8, 1, [1.0, 0.0])],
        },
        specs,
        by_context=True,
    )
    assert [row["metrics"]["exact"]["mean"] for row in found] == [0.5, 0.5]
    assert "difference" not in found[0]["metrics"]["exact"]
    assert found[1]["metrics"]["exact"]["difference"] == {"mean": 0.5, "standard_error": 0.5, "n": 2}


def test_perplexity_is_the_exponential_of_the_mean() -> None:
    found = rows({"dense": [record("dense", 8, 0, [1.0, 3.0], "nats")]}, [parse("dense")], by_context=True)
    assert found[0]["perplexity"]["mean"] == pytest.approx(math.exp(2))


def test_heat_counts_by_length_and_tenth_of_depth() -> None:
    cells = heat([record("hip", 8, 0, [1.0]), record("hip", 16, 0, [1.0])])
    assert list(cells) == [8, 16]
    assert cells[8] == [1.0, *[None] * 8, 0.0]
