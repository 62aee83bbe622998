"""Keeping an answer from repeating itself, by making words unlikely that would go on with a repeated passage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hipcli.prompt.tokenizer import Tokenizer

Kind = Literal["word", "name", "number"]

LONGEST = 6  # tokens beyond `allowed` that make a penalty larger, which then is 23 at most


@dataclass(frozen=True)
class Repetition:
    """A penalty on logits ("DRY", by p-e-w, text-generation-webui 5677). It counts what the answer itself has said,
    never the document, which may be quoted.

    dry: subtracted from the logit of a common word that would extend a passage which the answer has said before and
    has just said again, times `growth` for every token by which the passage is longer than `allowed`; 0 for no
    penalty. Names, numbers and codes are never penalised: they have to come out as they are, however often.
    """

    dry: float = 0.8
    growth: float = 1.75
    allowed: int = 2

    def penalised(self, logits: Tensor, produced: Sequence[int], kind: Callable[[int], Kind]) -> Tensor:
        """Logits [1, vocabulary] after the tokens `produced` of an answer, of which `kind` tells what they spell."""
        lengths = continuations(produced, self.allowed, kind) if self.dry else {}
        if not lengths:
            return logits
        longer = [min(length - self.allowed, LONGEST) for length in lengths.values()]
        penalties = torch.tensor([-self.dry * self.growth**n for n in longer], device=logits.device)
        return logits.index_add(1, torch.tensor(list(lengths), device=logits.device), penalties[None].to(logits.dtype))


class Kinds:
    """What a token spells: part of a number or code, which has a digit; of a name; or a common word.

    A name may be what has a capital, no letter at all, or a letter of a script without capitals, such as Chinese; and
    what goes on with a word. What is left are the beginnings of words in small letters.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._before = tokenizer.encode("a", control=False)
        self._skipped = len(tokenizer.decode(self._before))
        self._known: dict[int, Kind] = {}

    def __call__(self, token: int) -> Kind:
        if token not in self._known:
            self._known[token] = kind_of(self._tokenizer.decode([*self._before, token])[self._skipped :])
        return self._known[token]


def kind_of(text: str) -> Kind:
    """What `text` spells, as it follows a letter."""
    if any(map(str.isnumeric, text)):
        return "number"
    letters = [character for character in text if character.isalpha()]
    begins_small = bool(letters) and all(map(str.islower, letters)) and text[0] not in letters
    return "word" if begins_small else "name"


def continuations(produced: Sequence[int], allowed: int, kind: Callable[[int], Kind]) -> dict[int, int]:
    """Words that once followed the passage which `produced` ends with, and how long that passage is.

    Numbers do not count in a passage's length. Passages of fewer than `allowed` tokens do not count; of several, a
    token's longest does.
    """
    lengths: dict[int, int] = {}
    end = len(produced)
    for at in range(allowed, end):
        if produced[at - 1] != produced[-1] or kind(produced[at]) != "word":
            continue
        length, back = 0, 1
        while back <= at and produced[at - back] == produced[end - back]:
            length += kind(produced[at - back]) != "number"
            back += 1
        if length >= allowed:
            lengths[produced[at]] = max(length, lengths.get(produced[at], 0))
    return lengths
