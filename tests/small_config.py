"""Attention at sizes that show everything in a few hundred tokens."""

from hip_attention.config import HipConfig

SMALL = HipConfig(
    selector="summary", top_k=32, block_q=8, block_k=4, sink=8, window=16, query_stride=1, min_context=0,
    refresh_interval=3,
)  # fmt: skip
SPARSE = HipConfig(top_k=32, block_q=8, block_k=4, sink=8, window=16, min_context=0, dense_layers=1, refresh_interval=3)
