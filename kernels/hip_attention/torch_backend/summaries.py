"""Mean and variance of the keys below every node of a binary tree over key blocks."""

import torch
from torch import Tensor

from hip_attention.cache.buffer import Buffer


class KeySummaries:
    """Statistics of complete key blocks, extended as keys arrive.

    The tree begins after the sink: node i of level l stands for the 2^l blocks from `low + i * 2^l` on, where
    `low = sink / block_k`. `levels[l].tokens` are the nodes of a level, [B, Hkv, nodes, 2 * D] in the keys' dtype: mean
    and variance side by side, which are always read together. A node exists once all its keys do, so no statistic is
    ever changed. Level 0 costs 2 / block_k of the keys' memory, all levels together twice that. Memory is reserved for
    `capacity` keys.
    """

    def __init__(self, sink: int, block_k: int, capacity: int = 0) -> None:
        self.sink = sink
        self.block_k = block_k
        self._leaves = max(0, capacity - sink) // block_k
        self.levels: list[Buffer] = []

    @property
    def next_key(self) -> int:
        """Position of the first key that no leaf covers yet."""
        return self.sink + (self.levels[0].length if self.levels else 0) * self.block_k

    @property
    def address(self) -> int:
        """Where the leaves begin in memory; 0 before there are any."""
        return self.levels[0].address if self.levels else 0

    def extend(self, keys: Tensor) -> None:
        """Add keys [B, Hkv, T, D] from position `next_key` on; an incomplete last block is left for the next call."""
        blocks = keys.shape[2] // self.block_k
        if blocks == 0:
            return
        leaves = keys[:, :, : blocks * self.block_k].unflatten(2, (blocks, self.block_k)).float()
        mean = leaves.mean(3)
        variance = (leaves - mean.unsqueeze(3)).square_().mean(3)
        self._append(0, mean, variance, keys.dtype)
        level = 0
        while self.levels[level].length >= 2:
            begin = self.levels[level + 1].length if level + 1 < len(self.levels) else 0
            stop = self.levels[level].length // 2
            if begin == stop:
                break
            pairs = self.levels[level].part(2 * begin, 2 * stop).unflatten(2, (stop - begin, 2))
            mean, variance = pairs.float().chunk(2, -1)
            distance = (mean[:, :, :, 0] - mean[:, :, :, 1]) / 2
            level += 1
            self._append(level, mean.mean(3), variance.mean(3) + distance.square(), keys.dtype)

    def truncate(self, length: int) -> None:
        """Forget every node that holds a key at or beyond position `length`."""
        nodes = max(0, length - self.sink) // self.block_k
        for level in self.levels:
            level.truncate(nodes)
            nodes //= 2

    def _append(self, level: int, mean: Tensor, variance: Tensor, dtype: torch.dtype) -> None:
        """Add nodes with mean and variance [B, Hkv, n, D] to a level."""
        if level == len(self.levels):
            self.levels.append(Buffer(self._leaves >> level))
        self.levels[level].append(torch.cat((mean, variance), -1).to(dtype))
