"""A query block with one row of large logits, which a maximum over rows would hand all of the budget."""

from dataclasses import replace

import torch
from small_config import SMALL
from torch import Tensor

LOUD = replace(SMALL, selector="summary-exact")  # 8 of 26 key blocks, all of which are candidates


def loud_row() -> tuple[Tensor, Tensor, int]:
    """Query [1, 1, 8, 16], key [1, 1, 128, 16], and the number of a key block that another row needs."""
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, length, 16, generator=generator) for length in (8, 128))
    loud, quiet = query[0, 0, 2], query[0, 0, 5]
    loud *= 20
    block = 17
    away = quiet - loud * (quiet @ loud) / (loud @ loud)
    key[0, 0, 4 * block + 1] = 3 * away
    key[0, 0, 4 * block : 4 * block + 4] -= (
        (key[0, 0, 4 * block : 4 * block + 4] @ loud)[:, None] * loud / (loud @ loud)
    )
    best = (query[0, 0] @ key[0, 0, 8:112].T).unflatten(1, (26, 4)).amax(2)  # the 26 key blocks after the sink
    assert block - 2 == best[5].argmax()
    assert block - 2 not in best.amax(0).topk(LOUD.selected_blocks).indices
    return query, key, block
