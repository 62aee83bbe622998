"""One token at a time with Triton: split attention over the selected keys, and the search that selects them.

Nothing here waits for the host: lengths are read on the device and memory is allocated once, so that a step and a
refresh can each be captured in a CUDA graph.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
from torch import Tensor

from hip_attention.backend import Summaries
from hip_attention.cache.int8 import Codes
from hip_attention.config import HipConfig
from hip_attention.triton_backend.common import precision
from hip_attention.triton_backend.decode_attend import attend_split, merge_splits
from hip_attention.triton_backend.decode_select import SCORED, descend, mark_shared
from hip_attention.triton_backend.representative import search_one
from hip_attention.triton_backend.summaries import TreeSummaries

CHUNK = 64  # keys a program attends to
MERGED = 4096  # numbers a program merges: 32 registers of each of its threads


class DecodeBuffers:
    """State of one layer's decode between tokens, all of it on the device, and the attention of a token.

    length: int32 [1], number of keys, including the newest token's; the caller updates it. refreshed: int32 [1], the
    length when blocks were selected. blocks: int32 [B, Hq, K], ascending. config: usually a `HipConfig.of_decode`.

    Decode is bound by the memory it reads. At true positions the query heads of a GQA group therefore attend together
    to everything that any of them selected. At packed positions the place of a key depends on what the query head
    selected, so each head attends by itself.
    """

    def __init__(
        self, config: HipConfig, batch: int, heads: int, heads_k: int, dim_v: int, device: torch.device
    ) -> None:
        self.config = config
        self.length = torch.zeros(1, dtype=torch.int32, device=device)
        self.refreshed = torch.zeros(1, dtype=torch.int32, device=device)
        self.blocks = torch.zeros(batch, heads, config.selected_blocks, dtype=torch.int32, device=device)
        self._group = heads // heads_k
        self._shared = torch.empty_like(self.blocks)
        children = 2 * triton.next_power_of_2(max(1, config.selected_blocks))
        self._scores = torch.empty(batch, heads, max(SCORED, children), dtype=torch.float32, device=device)
        rows = batch * heads * self._splits(self._group)
        self._totals = torch.empty(rows, dim_v, dtype=torch.float32, device=device)
        self._norms = torch.empty(rows, 2, dtype=torch.float32, device=device)

    def refresh(self, query: Tensor, summaries: Summaries | None, key: Tensor | None) -> None:
        """Select blocks for query [B, Hq, 1, D] of the newest token; other arguments as for `select.select`."""
        self.refreshed.copy_(self.length)
        if not self.config.top_k:
            return
        with torch.cuda.device_of(query):
            if self.config.selector == "summary":
                assert isinstance(summaries, TreeSummaries)
                descend(query, summaries.nodes.data, self.length, self.config, self.blocks, self._scores)
            else:
                assert key is not None
                search_one(query, key, self.length, self.config, self.blocks)
        self.share()

    def share(self) -> None:
        """Mark which of `blocks` an earlier head of the GQA group selected too; to be called after `blocks` change."""
        mark_shared(self.blocks, self._shared, self._group)

    def attend(
        self,
        query: Tensor,
        key: Tensor | Codes,
        value: Tensor | Codes,
        scale: float,
        output: Tensor,
        tables: tuple[Tensor, Tensor] | None = None,
        packed: bool = False,
    ) -> None:
        """Attention of query [B, Hq, 1, D] over sink, selected keys, and all keys from the window of the refresh on.

        key and value [B, Hkv, capacity, D], or both as `Codes`, contiguous; output [B, Hq, 1, D]. With `tables`, cosine
        and sine [positions, D / 2], keys come before RoPE, which is applied at true positions, or if `packed` at their
        places among sink, selected blocks and window. The query arrives rotated.
        """
        config = self.config
        batch, heads, _, dim = query.shape
        coded = isinstance(key, Codes)
        keys, *key_code = key if isinstance(key, Codes) else (key, query, query, query)
        values, *value_code = value if isinstance(value, Codes) else (value, query, query, query)
        dim_v = values.shape[3]
        members = 1 if packed else self._group
        splits = self._splits(members)
        part = dim if tables is None else dim // 2
        row_bytes = triton.next_power_of_2(max(dim, dim_v)) * query.element_size()
        cosine, sine = tables if tables is not None else (query, query)
        with torch.cuda.device_of(query):
            attend_split[(splits, heads // members, batch)](
                query, keys, values, self.blocks if packed else self._shared, self._totals, self._norms, self.length,
                self.refreshed, cosine, sine, *key_code, *value_code, scale * 1.4426950408889634,
                *query.stride()[:2], *keys.stride()[:3], *values.stride()[:3],
                GROUP=self._group, MEMBERS=members, ROWS=max(16, triton.next_power_of_2(members)),
                GATHERED=members * config.top_k, BLOCK_K=config.block_k, SINK=config.sink, WINDOW=config.window,
                SPLITS=splits, CHUNK=CHUNK, SIZE=part, WIDTH=max(16, triton.next_power_of_2(part)), SIZE_V=dim_v,
                WIDTH_V=max(16, triton.next_power_of_2(dim_v)), ROTATE=tables is not None, PACKED=packed,
                CODED=coded, PRECISION=precision(query), num_warps=4 if row_bytes <= 256 else 8,
            )  # fmt: skip
            slots = triton.next_power_of_2(splits)
            width = min(triton.next_power_of_2(dim_v), max(1, MERGED // slots))
            merge_splits[(triton.cdiv(dim_v, width), heads, batch)](
                self._totals, self._norms, output, *output.stride()[:2],
                SPLITS=splits, SLOTS=slots, SIZE_V=dim_v, WIDTH_V=width, num_warps=4,
            )  # fmt: skip

    def _splits(self, members: int) -> int:
        """Number of programs that `members` heads divide their keys among: selected ones, then sink and window."""
        config = self.config
        recent = config.sink + config.window + config.refresh_interval - 1
        splits: int = triton.cdiv(members * config.top_k, CHUNK) + triton.cdiv(recent, CHUNK)
        return splits
