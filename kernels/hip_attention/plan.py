"""Which rows form a query block, and which of them need a search at all. Integers only."""

from dataclasses import dataclass

from hip_attention.config import HipConfig


@dataclass(frozen=True)
class Slab:
    """`blocks` consecutive query blocks of `rows` rows each, from row `start` of the queries, at position `first`."""

    start: int
    first: int
    rows: int
    blocks: int

    @property
    def stop(self) -> int:
        return self.start + self.rows * self.blocks

    def split(self, blocks: int) -> "list[Slab]":
        """The same rows in slabs of at most `blocks` query blocks."""
        return [
            Slab(
                self.start + i * self.rows,
                self.first + i * self.rows,
                self.rows,
                min(blocks, self.blocks - i),
            )
            for i in range(0, self.blocks, blocks)
        ]


def slabs(start: int, length_q: int, length_k: int, block_q: int) -> list[Slab]:
    """Rows [start, Tq) as runs of equal query blocks: a partial first one, the whole ones, a partial last one."""
    offset = length_k - length_q
    runs = []
    while start < length_q:
        position = offset + start
        rows = min(block_q - position % block_q, length_q - start)
        blocks = (length_q - start) // block_q if rows == block_q else 1
        runs.append(Slab(start, position, rows, blocks))
        start += rows * blocks
    return runs


def searchable_blocks(last_position: int, sink: int, window: int, block_k: int) -> int:
    """Number of key blocks between the sink and the window of the row at `last_position`."""
    return max(0, -(-max(0, last_position - window + 1) // block_k) - sink // block_k)


def sparse_start(length_q: int, length_k: int, config: HipConfig) -> int:
    """First row whose query block has more to search than it may select; rows before it attend to everything."""
    return _first_row(length_q, length_k, config.block_q, _first_sparse(config))


def packed_start(length_q: int, length_k: int, config: HipConfig) -> int:
    """First row of the first query block that sees packed positions; Tq where none does."""
    first = _first_packed(config)
    return length_q if first is None else _first_row(length_q, length_k, config.block_q, first)


def decoded_sparsely(position: int, config: HipConfig) -> bool:
    """Whether a row that is alone in its query block has more to search than it may select: see `sparse_start`."""
    return position >= _first_sparse(config)


def decoded_packed(position: int, config: HipConfig) -> bool:
    """Whether a row that is alone in its query block sees packed positions: see `packed_start`."""
    first = _first_packed(config)
    return first is not None and position >= first


def true_positions(config: HipConfig, capacity: int) -> int:
    """How many of `capacity` keys are ever needed at true positions: those that rows before the packed ones see."""
    first = _first_packed(config)
    return capacity if first is None else min(capacity, first + config.block_q)


def _first_sparse(config: HipConfig) -> int:
    """Query blocks that reach this position search for keys; earlier ones attend to everything."""
    if config.select_always:
        return config.sink + config.window
    return max(config.min_context, config.visible_keys)


def _first_packed(config: HipConfig) -> int | None:
    """Query blocks that reach this position see packed positions; None where none does."""
    return None if config.packed_from is None else max(config.packed_from, config.visible_keys)


def _first_row(length_q: int, length_k: int, block_q: int, last: int) -> int:
    """First row of the first query block that ends at position `last` or later; Tq where none does."""
    offset = length_k - length_q
    for slab in slabs(0, length_q, length_k, block_q):
        block = max(0, -(-(last + 1 - slab.first) // slab.rows) - 1)
        if block < slab.blocks:
            return slab.first + block * slab.rows - offset
    return length_q
