"""Which passages an answer rests on, by the attention of its tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hipcli.evidence.reference import Passage, SourcePassage

if TYPE_CHECKING:
    from torch import Tensor

_FLOOR = 1e-7  # of a row's attention: less is rounding


def excess(mass: "Tensor", usual: "Tensor") -> "Tensor":
    """Attention mass beyond what is usual: float32 [spans] from two [heads, spans].

    A head's part is that of its mass in the Kullback-Leibler divergence from the usual one, which attention that any
    question attracts, such as that to the first words of a text, has no part in.
    """
    if not bool(usual.any()):  # a prompt in which nothing comes before what is asked
        return mass.mean(0)
    return (mass * ((mass + _FLOOR) / (usual + _FLOOR)).log()).mean(0)


def sources(
    passages: Sequence[Passage], tokens: Sequence[int], scores: "Tensor", mass: "Tensor", count: int
) -> tuple[SourcePassage, ...]:
    """Up to `count` passages with the highest scores, best first, without those that get less than usual.

    Where all get less, which very long texts can do to them, the order is that of the scores all the same.

    `scores` are `excess` of passages with so many `tokens`; a passage twice as long needs more than its half of it.
    `mass` is what each of them gets, of which a source's score is its share.
    """
    import torch

    if not bool(scores.any()):
        return ()
    if float(scores.max()) > 0:
        scores = scores.masked_fill(scores <= 0, -torch.inf)
    weighed = scores / torch.tensor(tokens).clamp(min=1).sqrt()
    total = float(mass.sum()) or 1.0
    best = weighed.sort(descending=True, stable=True).indices[:count].tolist()
    kept = [index for index in best if float(scores[index]) > -torch.inf]
    return tuple(SourcePassage(passages[index], float(mass[index]) / total) for index in kept)


def heat(pages: Sequence[tuple[int, int]], tokens: Sequence[int], scores: "Tensor") -> tuple[tuple[float, ...], ...]:
    """For each document, for each page, `excess` a token, where 1 is the mean of all pages.

    `pages` are (document, page) in order, with so many `tokens` and such `scores`.
    """
    import torch

    count = torch.tensor(tokens).clamp(min=1)
    found = scores.clamp(min=0)
    mean = float(found.sum()) / int(count.sum()) or 1.0
    each: list[list[float]] = [[] for _ in range(1 + max((document for document, _ in pages), default=-1))]
    for (document, _), value in zip(pages, (found / count / mean).tolist(), strict=True):
        each[document].append(value)
    return tuple(map(tuple, each))
