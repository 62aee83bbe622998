"""Keeping an answer from repeating itself, by making the tokens unlikely that would go on with a repeated passage."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LONGEST = 50  # tokens beyond `allowed` that make a penalty larger: any logit is smaller by then


@dataclass(frozen=True)
class Repetition:
    """Penalties on logits. They count what the answer itself has said, never the document, which may be quoted.

    dry: subtracted from the logit of a token that would lengthen a passage which the answer has said before and has
    just said again, times `growth` for every token by which the passage is longer than `allowed` ("DRY", by p-e-w,
    text-generation-webui 5677). used: divides the logits of all tokens that the answer has used (arXiv 1909.05858,
    section 4.1); 1 leaves them.
    """

    dry: float = 0.0
    growth: float = 1.75
    allowed: int = 2
    used: float = 1.0

    def penalised(self, logits: Tensor, produced: Sequence[int]) -> Tensor:
        """Logits [1, vocabulary] after the tokens `produced` of an answer."""
        if self.used != 1 and produced:
            tokens = torch.tensor(sorted(set(produced)), device=logits.device)
            some = logits[:, tokens]
            logits = logits.index_copy(1, tokens, torch.where(some > 0, some / self.used, some * self.used))
        lengths = continuations(produced, self.allowed) if self.dry else {}
        if lengths:
            tokens = torch.tensor(list(lengths), device=logits.device)
            longer = [min(n - self.allowed, LONGEST) for n in lengths.values()]
            powers = torch.tensor([self.growth**n for n in longer], device=logits.device)
            logits = logits.index_add(1, tokens, -self.dry * powers[None])
        return logits


def continuations(produced: Sequence[int], allowed: int) -> dict[int, int]:
    """Tokens that once followed the passage which `produced` ends with, and how long that passage is.

    Passages of fewer than `allowed` tokens do not count; of several, a token's longest does.
    """
    lengths: dict[int, int] = {}
    end = len(produced)
    for at in range(allowed, end):
        length = 0
        while length < at and produced[at - 1 - length] == produced[end - 1 - length]:
            length += 1
        if length >= allowed:
            lengths[produced[at]] = max(length, lengths.get(produced[at], 0))
    return lengths
