"""Penalties for what an answer has said already."""

import random
from collections.abc import Callable

import pytest
import torch

from hipcli.engine.repetition import LONGEST, Kind, Kinds, Repetition, continuations, kind_of


def words(token: int) -> Kind:
    return "word"


def mixed(token: int) -> Kind:
    return ("number", "name", "word", "word")[token]


def by_brute_force(produced: list[int], allowed: int, kind: Callable[[int], Kind]) -> dict[int, int]:
    """For every word, the longest end of `produced` that it once followed."""
    found: dict[int, int] = {}
    for length in range(1, len(produced)):
        end = produced[-length:]
        counted = sum(kind(token) != "number" for token in end)
        for at in range(length, len(produced)):
            if produced[at - length : at] == end and counted >= allowed and kind(produced[at]) == "word":
                found[produced[at]] = counted
    return found


@pytest.mark.parametrize("allowed", [1, 2, 3])
@pytest.mark.parametrize("kind", [words, mixed])
def test_continuations_are_those_of_a_search_without_shortcuts(allowed: int, kind: Callable[[int], Kind]) -> None:
    rng = random.Random(0)
    for count in range(60):
        produced = rng.choices(range(4), k=count)
        assert continuations(produced, allowed, kind) == by_brute_force(produced, allowed, kind)


def test_a_passage_that_begins_again_is_penalised_more_with_each_token() -> None:
    repetition = Repetition(dry=0.8, growth=2.0, allowed=2)
    logits = torch.zeros(1, 10)
    story = [1, 2, 3, 4, 5, 6]
    for said, expected in ((1, 0.0), (2, 0.8), (3, 1.6), (4, 3.2)):
        penalised = repetition.penalised(logits, [*story, *story[:said]], words)
        assert penalised[0, story[said]].item() == pytest.approx(-expected)
        penalised[0, story[said]] = 0
        assert not penalised.any() and not logits.any(), "no other token, and not the logits that were given"


def test_the_penalty_stays_a_number() -> None:
    penalised = Repetition(dry=0.8).penalised(torch.zeros(1, 4), [1, 2, 3] * 400, words)
    assert penalised.isfinite().all()
    assert penalised[0, 1].item() == pytest.approx(-0.8 * 1.75**LONGEST, rel=1e-5)


def test_nothing_is_penalised_unless_asked_for() -> None:
    logits = torch.randn(1, 8)
    assert torch.equal(Repetition(dry=0).penalised(logits, [1, 2, 1, 2, 1, 2], words), logits)


def test_names_and_numbers_keep_their_logits() -> None:
    logits = torch.randn(1, 8)
    kinds: dict[int, Kind] = {3: "name", 4: "word", 5: "number"}
    said = [1, 2, 3, 1, 2, 4, 1, 2, 5, 1, 2]
    penalised = Repetition().penalised(logits, said, lambda token: kinds.get(token, "word"))
    assert (penalised != logits).nonzero()[:, 1].tolist() == [4]


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("number", ["2", " 42", "M2", " 12 Uhr", " ²", "十"]),
        ("name", ["B", " Ltd", "keting", "McE", ".", " |", "\n", "-", "ß", " №", "の", "条", " Été"]),
        ("word", [" the", " woman", ", and", "\nand", " été"]),
    ],
)
def test_kinds(kind: Kind, texts: list[str]) -> None:
    assert [kind_of(text) for text in texts] == [kind] * len(texts)


def test_a_token_is_judged_as_it_goes_on_after_a_letter() -> None:
    class Pieces:
        def encode(self, text: str, *, control: bool) -> list[int]:
            return [{"a": 0}[text]]

        def decode(self, ids: list[int]) -> str:
            return "".join(["a", " woman", " Ltd", "7", "n"][number] for number in ids)

    assert list(map(Kinds(Pieces()), range(1, 5))) == ["word", "name", "number", "name"]  # type: ignore[arg-type]
