"""Keeping an answer from repeating itself, by making words unlikely that would go on with a repeated passage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hipcli.prompt.tokenizer import Tokenizer

LONGEST = 50  # tokens beyond `allowed` that make a penalty larger: any logit is smaller by then


@dataclass(frozen=True)
class Repetition:
    """A penalty on logits ("DRY", by p-e-w, text-generation-webui 5677). It counts what the answer itself has said,
    never the document, which may be quoted.

    dry: subtracted from the logit of a token that would extend a passage which the answer has said before and has
    just said again, times `growth` for every token by which the passage is longer than `allowed`; 0 for no penalty.
    """

    dry: float = 0.8
    growth: float = 1.75
    allowed: int = 2

    def penalised(self, logits: Tensor, produced: Sequence[int], verbatim: Callable[[int], bool]) -> Tensor:
        """Logits [1, vocabulary] after the tokens `produced` of an answer; tokens that are `verbatim` keep theirs."""
        lengths = continuations(produced, self.allowed, verbatim) if self.dry else {}
        if not lengths:
            return logits
        longer = [min(length - self.allowed, LONGEST) for length in lengths.values()]
        penalties = torch.tensor([-self.dry * self.growth**n for n in longer], device=logits.device)
        return logits.index_add(1, torch.tensor(list(lengths), device=logits.device), penalties[None].to(logits.dtype))


class Verbatim:
    """Whether a token has to come out as it is, however often: where names, numbers and codes are spelled.

    Those are tokens without a letter, with a digit or a capital, and those that go on with a word of letters that have
    capitals. What is left are the beginnings of common words, and scripts without capitals.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._before = tokenizer.encode("a", control=False)
        self._known: dict[int, bool] = {}

    def __call__(self, token: int) -> bool:
        if token not in self._known:
            before = len(self._tokenizer.decode(self._before))
            self._known[token] = spells(self._tokenizer.decode([*self._before, token])[before:])
        return self._known[token]


def spells(text: str) -> bool:
    """Whether `text`, as it follows a letter, belongs to a name, a number or a code."""
    exact = any(character.isdigit() or character.isupper() for character in text)
    return exact or not any(map(str.isalpha, text)) or text[0] != text[0].upper()


def continuations(produced: Sequence[int], allowed: int, verbatim: Callable[[int], bool]) -> dict[int, int]:
    """Tokens that once followed the passage which `produced` ends with, and how long that passage is.

    Neither is a token one of those that are `verbatim`, nor do these count in a passage's length. Passages of fewer
    than `allowed` tokens do not count; of several, a token's longest does.
    """
    counts = [not verbatim(token) for token in produced]
    lengths: dict[int, int] = {}
    end = len(produced)
    for at in range(allowed, end):
        if not counts[at] or produced[at - 1] != produced[-1]:
            continue
        length, back = 0, 1
        while back <= at and produced[at - back] == produced[end - back]:
            length += counts[end - back]
            back += 1
        if length >= allowed:
            lengths[produced[at]] = max(length, lengths.get(produced[at], 0))
    return lengths
