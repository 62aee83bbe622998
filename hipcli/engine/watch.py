"""How much attention of an answer falls on which tokens of the documents, from the queries that its tokens had."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hip_attention.cache.cache import Cache
from torch import Tensor

_LAYERS = 0.5, 0.75  # of those that see everything: the third fourth ranks evidence best (docs/sources.md)
_ROWS = 32  # of an answer, spread evenly over it: more rank no better and take longer


@dataclass(frozen=True)
class Watch:
    """What to look at: `spans` of tokens [start, stop) of the prefix, ascending by start.

    `instruction` is how many tokens of the question come before what is asked, `closing` how many come after it.
    """

    spans: Sequence[tuple[int, int]]
    instruction: int
    closing: int


@dataclass(frozen=True)
class Masses:
    """Attention mass on each span of a Watch, float32 [layers * heads, spans] each, on the CPU.

    It is the mean over rows of the sum over a span's keys: of the rows of the instruction; and of each kind of row that
    the answer comes from: those of what is asked, those behind it, and the answer's own, as far as there are any.
    """

    instruction: Tensor
    asking: tuple[Tensor, ...]


class Watcher:
    """Keeps the queries of the tokens from `base` on, `count` of a question and up to `room` of its answer."""

    def __init__(self, cache: Cache, windows: Sequence[int | None], watch: Watch, base: int, count: int, room: int):
        full = [layer for layer, window in enumerate(windows) if window is None]
        first, last = (int(len(full) * share) for share in _LAYERS)
        self._layers = full[first : max(last, first + 1)]
        self._cache = cache
        self._watch = watch
        self._base = base
        self._count = count
        cache.keep_queries(self._layers, base, count + room)

    @torch.inference_mode()
    def masses(self) -> Masses:
        """What the tokens of question and answer attended to, as far as the cache holds them now."""
        start, end = self._base + self._watch.instruction, self._base + self._count - self._watch.closing
        length = self._cache.length
        stop = max((stop for _, stop in self._watch.spans), default=0)
        device = self._cache.layers[self._layers[0]].device
        spans = torch.tensor(self._watch.spans, device=device).view(-1, 2)
        read = self._base + self._count
        parts = [range(self._base, start), range(start, end), range(end, read), _sample(read, length)]
        found = []
        for layer in self._layers:
            mass = self._cache.layers[layer].mass(parts, stop)  # [parts, Hq, stop]
            until = torch.nn.functional.pad(mass.double().cumsum(2), (1, 0))
            found.append((until[:, :, spans[:, 1]] - until[:, :, spans[:, 0]]).float())
        masses = torch.cat(found, 1).cpu()  # [parts, layers * Hq, spans]
        instruction, *asking = (mass / max(1, len(part)) for mass, part in zip(masses, parts, strict=True))
        return Masses(instruction, tuple(mass for mass, part in zip(asking, parts[1:], strict=True) if len(part)))


def _sample(start: int, stop: int) -> Sequence[int]:
    """At most `_ROWS` positions of [start, stop), the last one always."""
    count = stop - start
    if count <= _ROWS:
        return range(start, stop)
    return [start + (number + 1) * count // _ROWS - 1 for number in range(_ROWS)]
