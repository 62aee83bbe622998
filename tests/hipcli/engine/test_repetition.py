"""Penalties for what an answer has said already."""

import random
from collections.abc import Callable

import pytest
import torch

from hipcli.engine.repetition import LONGEST, Repetition, Verbatim, continuations, spells


def never(token: int) -> bool:
    return False


def zero(token: int) -> bool:
    return token == 0


def by_brute_force(produced: list[int], allowed: int, verbatim: Callable[[int], bool]) -> dict[int, int]:
    """For every token, the longest end of `produced` that it once followed."""
    found: dict[int, int] = {}
    for length in range(1, len(produced)):
        end = produced[-length:]
        counted = sum(not verbatim(token) for token in end)
        for at in range(length, len(produced)):
            if produced[at - length : at] == end and counted >= allowed and not verbatim(produced[at]):
                found[produced[at]] = counted
    return found


@pytest.mark.parametrize("allowed", [1, 2, 3])
@pytest.mark.parametrize("verbatim", [never, zero])
def test_continuations_are_those_of_a_search_without_shortcuts(allowed: int, verbatim: Callable[[int], bool]) -> None:
    rng = random.Random(0)
    for count in range(40):
        produced = rng.choices(range(3), k=count)
        assert continuations(produced, allowed, verbatim) == by_brute_force(produced, allowed, verbatim)


def test_a_passage_that_begins_again_is_penalised_more_with_each_token() -> None:
    repetition = Repetition(dry=0.8, growth=2.0, allowed=2)
    logits = torch.zeros(1, 10)
    story = [1, 2, 3, 4, 5, 6]
    for said, expected in ((1, 0.0), (2, 0.8), (3, 1.6), (4, 3.2)):
        penalised = repetition.penalised(logits, [*story, *story[:said]], never)
        assert penalised[0, story[said]].item() == pytest.approx(-expected)
        penalised[0, story[said]] = 0
        assert not penalised.any() and not logits.any(), "no other token, and not the logits that were given"


def test_the_penalty_stays_a_number() -> None:
    penalised = Repetition(dry=0.8).penalised(torch.zeros(1, 4), [1, 2, 3] * 400, never)
    assert penalised.isfinite().all()
    assert penalised[0, 1].item() == pytest.approx(-0.8 * 1.75**LONGEST, rel=1e-5)


def test_nothing_is_penalised_unless_asked_for() -> None:
    logits = torch.randn(1, 8)
    assert torch.equal(Repetition(dry=0).penalised(logits, [1, 2, 1, 2, 1, 2], never), logits)


def test_verbatim_tokens_keep_their_logits() -> None:
    logits = torch.randn(1, 8)
    penalised = Repetition().penalised(logits, [1, 2, 3, 1, 2, 4, 1, 2], lambda token: token == 3)
    assert (penalised != logits).nonzero()[:, 1].tolist() == [4]


@pytest.mark.parametrize("text", ["2", " 42", "B", " Ltd", "keting", "McE", ".", " |", "\n", "-", "ß", " 12 Uhr", " №"])
def test_names_and_numbers_are_spelled_as_they_are(text: str) -> None:
    assert spells(text)


@pytest.mark.parametrize("text", [" the", " woman", ", and", "\nand", "の", "条", " été"])
def test_common_words_are_not(text: str) -> None:
    assert not spells(text)


def test_verbatim_asks_how_a_token_goes_on_after_a_letter() -> None:
    class Pieces:
        def encode(self, text: str, *, control: bool) -> list[int]:
            return [{"a": 0}[text]]

        def decode(self, ids: list[int]) -> str:
            return "".join(["a", " woman", " Ltd", "7", "n"][number] for number in ids)

    assert list(map(Verbatim(Pieces()), range(1, 5))) == [False, True, True, True]  # type: ignore[arg-type]
