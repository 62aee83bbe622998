"""Mean and variance of the keys below every node of a binary tree over key blocks."""

from torch import Tensor

from hip_attention.buffer import Buffer


class KeySummaries:
    """Statistics of complete key blocks, extended as keys arrive.

    The tree begins after the sink: node i of level l stands for the 2^l blocks from `low + i * 2^l` on, where
    `low = sink / block_k`. A node exists once all its keys do, so no statistic is ever changed. Level 0 costs
    2 / block_k of the keys' memory, all levels together twice that. Memory is reserved for `capacity` keys.
    """

    def __init__(self, sink: int, block_k: int, capacity: int = 0) -> None:
        self.sink = sink
        self.block_k = block_k
        self._leaves = max(0, capacity - sink) // block_k
        self.means: list[Buffer] = []
        self.variances: list[Buffer] = []

    @property
    def next_key(self) -> int:
        """Position of the first key that no leaf covers yet."""
        return self.sink + (self.means[0].length if self.means else 0) * self.block_k

    @property
    def address(self) -> int:
        """Where the leaves' means begin in memory; 0 before there are any."""
        return self.means[0].address if self.means else 0

    def extend(self, keys: Tensor) -> None:
        """Add keys [B, Hkv, T, D] from position `next_key` on; an incomplete last block is left for the next call."""
        blocks = keys.shape[2] // self.block_k
        if blocks == 0:
            return
        leaves = keys[:, :, : blocks * self.block_k].unflatten(2, (blocks, self.block_k)).float()
        mean = leaves.mean(3)
        variance = (leaves - mean.unsqueeze(3)).square_().mean(3)
        self._append(0, mean.to(keys.dtype), variance.to(keys.dtype))
        level = 0
        while self.means[level].length >= 2:
            begin = self.means[level + 1].length if level + 1 < len(self.means) else 0
            stop = self.means[level].length // 2
            if begin == stop:
                break
            mean, variance = (
                buffer.data[:, :, 2 * begin : 2 * stop].unflatten(2, (stop - begin, 2)).float()
                for buffer in (self.means[level], self.variances[level])
            )
            distance = (mean[:, :, :, 0] - mean[:, :, :, 1]) / 2
            level += 1
            self._append(level, mean.mean(3).to(keys.dtype), (variance.mean(3) + distance.square()).to(keys.dtype))

    def truncate(self, length: int) -> None:
        """Forget every node that holds a key at or beyond position `length`."""
        nodes = max(0, length - self.sink) // self.block_k
        for mean, variance in zip(self.means, self.variances, strict=True):
            mean.truncate(nodes)
            variance.truncate(nodes)
            nodes //= 2

    def _append(self, level: int, mean: Tensor, variance: Tensor) -> None:
        if level == len(self.means):
            self.means.append(Buffer(self._leaves >> level))
            self.variances.append(Buffer(self._leaves >> level))
        self.means[level].append(mean)
        self.variances[level].append(variance)
