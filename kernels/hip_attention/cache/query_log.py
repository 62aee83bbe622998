"""The queries of a question and of the tokens that answer it, kept to see afterwards which keys they attend to."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from hip_attention.cache.step import DeviceStep

_LOGITS = 1 << 25  # at a time: 128 MiB in float32


class QueryLog:
    """Queries of one layer, [B, Hq, room, D] as they arrive at its cache, from one position on.

    Rows are written where a CUDA graph can write them, too: `address` changes when memory moves. The first rows behind
    `begin` are not written by one.
    """

    def __init__(self) -> None:
        self.base = 0
        self.scale = 1.0
        self._room = 0
        self._kept: tuple[Tensor, Tensor] | None = None  # rows, and `base` int64 [1], which a CUDA graph reads

    @property
    def address(self) -> int:
        """Where the rows begin in memory; 0 before there are any."""
        return 0 if self._kept is None else self._kept[0].data_ptr()

    def begin(self, base: int, room: int) -> None:
        """Keep the queries of up to `room` tokens from position `base` on, and forget those before."""
        self.base = base
        if room > self._room:
            self._room, self._kept = room, None

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
    mass = torch.zeros(len(parts), heads, stop, device=key.device)
    row = torch.tensor([row for part in parts for row in part], device=key.device)
    edges = list(accumulate(map(len, parts), initial=0))
    at_once = max(1, _LOGITS // (group * length))
    own = torch.arange(count, device=key.device)
    for head in range(key.shape[1]):
        keys = key[0, head].T  # [D, T]
        of_group = slice(head * group, (head + 1) * group)
        queries = query[0, of_group][:, row]  # [group, rows, D]
        for part, (start, end) in enumerate(pairwise(edges)):
            for first in range(start, end, at_once):
                last = min(end, first + at_once)
                logits = (queries[:, first:last] @ keys).float().mul_(scale)  # [group, rows, T]
                logits[:, :, length - count :].masked_fill_(own > row[first:last, None], -torch.inf)
                mass[part, of_group] += logits.softmax(2)[:, :, :stop].sum(1)
    return mass
