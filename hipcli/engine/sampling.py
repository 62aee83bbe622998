"""How the next token of an answer is chosen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hipcli.engine.repetition import Kind, Repetition
from hipcli.errors import HipError
from hipcli.structured.grammar import Constraint


@dataclass(frozen=True)
class Sampling:
    """The likeliest token at temperature 0, else one drawn from the top_p nucleus (arXiv 1904.09751).

    `repetition` keeps an answer from saying its own passages again; what the document says is not its own.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    repetition: Repetition = field(default_factory=Repetition)


class Chooser:
    """Picks the next token; one random stream an answer, so that a seed repeats it.

    `kind` tells what a token spells, as `Repetition` asks. With a `constraint`, every token is one that it allows.
    """

    def __init__(
        self,
        sampling: Sampling,
        device: torch.device,
        kind: Callable[[int], Kind],
        constraint: Constraint | None = None,
    ) -> None:
        self._sampling = sampling
        self._constraint = constraint
        self._kind = kind
        self._generator = torch.Generator(device)
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def __call__(self, logits: Tensor, produced: Sequence[int] = ()) -> int:
        """Token id for logits [1, vocabulary], after the tokens `produced` of the same answer.

        Raises HipError where the largest logit is no number, as NaN would be.
        """
        logits = self._sampling.repetition.penalised(logits, produced, self._kind)
        if self._constraint is None:
            return self._chosen(logits)
        token = self._chosen(self._constraint.masked(logits))
        self._constraint.push(token)
        return token

    def _chosen(self, logits: Tensor) -> int:
        largest, likeliest = torch.cat([x.double() for x in logits.max(-1)]).tolist()  # waits for the device once
        if not math.isfinite(largest):
            raise HipError("the model produced no usable numbers", "try --dtype float32 or another --model")
        if self._sampling.temperature <= 0:
            return int(likeliest)
        shares = ((logits.double() - largest) / self._sampling.temperature).softmax(-1)
        if self._sampling.top_p < 1:
            ordered, order = shares.sort(descending=True)
            beyond = ordered.cumsum(-1) - ordered >= self._sampling.top_p
            beyond[:, 0] = False
            shares = torch.zeros_like(shares).scatter(-1, order, ordered.masked_fill(beyond, 0))
        return int(torch.multinomial(shares, 1, generator=self._generator))
