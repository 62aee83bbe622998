"""The queries of a question and of the tokens that answer it, kept to see afterwards which keys they attend to."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from hip_attention.cache.step import DeviceStep

_LOGITS = 1 << 24  # at a time: 64 MiB in float32


class QueryLog:
    """Queries of one layer, [B, Hq, room, D] as they arrive at its cache, from one position on.

    Rows are written where a CUDA graph can write them, too. `generation` changes when they move, or are kept no more: a
    graph that was captured before must not be used again. (Their address tells less: memory is used again.)
    """

    def __init__(self) -> None:
        self.base = 0
        self.scale = 1.0
        self.generation = 0
        self.keeps = False
        self._room = 0
        self._kept: tuple[Tensor, Tensor] | None = None  # rows, and `base` int64 [1], which a CUDA graph reads

    def begin(self, base: int, room: int) -> None:
        """Keep the queries of up to `room` tokens from position `base` on, and forget those before."""
        if not self.keeps or room > self._room:
            self.generation += 1
            self._room, self._kept = max(room, self._room), None
        self.base, self.keeps = base, True

    def end(self) -> None:
        """Keep no more queries until the next `begin`."""
        if self.keeps:
            self.generation += 1
        self.keeps, self._kept = False, None

    def put(self, query: Tensor, start: int, scale: float, device: DeviceStep | None) -> None:
        """Keep query [B, Hq, T, D] of tokens from position `start` on; those before `base` are left out."""
        self.scale = scale
        if self._kept is None:
            rows = query.new_empty(*query.shape[:2], self._room, query.shape[3])
            self._kept = rows, torch.zeros(1, dtype=torch.int64, device=query.device)
        rows, base = self._kept
        if device is not None:
            rows.index_copy_(2, device.position - base, query)
            return
        base.fill_(self.base)
        skipped = max(0, self.base - start)
        begin = start + skipped - self.base
        rows[:, :, begin : begin + query.shape[2] - skipped] = query[:, :, skipped:]

    def rows(self, count: int) -> Tensor:
        """The first `count` rows [B, Hq, count, D]."""
        assert self._kept is not None, "nothing has been kept"
        return self._kept[0][:, :, :count]


def key_mass(query: Tensor, key: Tensor, scale: float, parts: Sequence[Sequence[int]], stop: int) -> Tensor:
    """How much attention the first `stop` keys get from each of `parts` of the rows, summed over a part's rows.

    query [1, Hq, n, D] of the last n of key [1, Hkv, T, D], both as they are compared; a part has indices of the n
    rows. A row's attention is the softmax of its logits over all keys that are not behind it. Returns float32
    [parts, Hq, stop].
    """
    heads, count, length = query.shape[1], query.shape[2], key.shape[2]
    group = heads // key.shape[1]
    row = torch.tensor([row for part in parts for row in part], device=key.device)
    # [parts, rows]: which rows are whose.
    member = torch.zeros(len(parts), len(row), device=key.device)
    for part, (start, end) in enumerate(pairwise(accumulate(map(len, parts), initial=0))):
        member[part, start:end] = 1
    own = torch.arange(count, device=key.device)
    queries = (query[0].index_select(1, row) * scale).view(-1, group, len(row), query.shape[3])  # [Hkv, group, rows, D]
    mass = torch.zeros(len(parts), key.shape[1], group, stop, device=key.device)
    at_once = max(1, _LOGITS // (group * length))
    for head in range(key.shape[1]):
        for first in range(0, len(row), at_once):
            some = slice(first, first + at_once)
            logits = F.linear(queries[head, :, some], key[0, head])  # [group, rows, T]
            logits[:, :, length - count :].masked_fill_(own > row[some, None], -torch.inf)
            summed = member[:, some] @ logits.softmax(2, dtype=torch.float32)  # [group, parts, T]
            mass[:, head] += summed[:, :, :stop].transpose(0, 1)
    return mass.flatten(1, 2)
