"""How the next token is chosen."""

import pytest
import torch

from hipcli.engine.repetition import Repetition
from hipcli.engine.sampling import Chooser, Sampling
from hipcli.errors import HipError

CPU = torch.device("cpu")


def chooser(sampling: Sampling) -> Chooser:
    return Chooser(sampling, CPU, lambda token: "word")


def test_the_likeliest_token_without_a_temperature() -> None:
    assert chooser(Sampling())(torch.tensor([[1.0, 3.0, 2.0]])) == 1


def test_nucleus_keeps_the_likeliest_only() -> None:
    logits = torch.tensor([[5.0, 4.9, -9.0, -9.0]])
    choose = chooser(Sampling(temperature=1.0, top_p=0.9, seed=0))
    assert {choose(logits) for _ in range(50)} == {0, 1}


@pytest.mark.parametrize("logits", [[float("nan"), 1.0], [float("inf"), 1.0], [float("-inf"), float("-inf")]])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_numbers_that_are_none_are_an_error(logits: list[float], temperature: float) -> None:
    choose = chooser(Sampling(temperature, seed=0))
    with pytest.raises(HipError, match="no usable numbers"):
        choose(torch.tensor([logits]))


def test_what_was_said_is_penalised_before_anything_else() -> None:
    choose = chooser(Sampling(repetition=Repetition(dry=5.0)))
    logits = torch.tensor([[0.0, 0.5, 3.0, 1.0]])
    assert choose(logits) == 2
    assert choose(logits, [0, 1, 2, 0, 1]) == 3
