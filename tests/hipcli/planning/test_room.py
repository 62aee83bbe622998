"""Room for a conversation, such that room alone does not change how documents are read."""

from dataclasses import replace

import pytest
from hip_attention import HipConfig

from hipcli.models.resolve import ModelShape
from hipcli.planning.positions import place
from hipcli.planning.room import ROOM, room_for

LLAMA = ModelShape(
    family="llama", layers=2, hidden=16, heads=4, kv_heads=2, head_dim=4, window=8192, weight_bytes=2**20
)
QWEN = replace(LLAMA, family="qwen2", window=32_768)
HIP = HipConfig()
DENSE = HipConfig(backend="dense")


@pytest.mark.parametrize(
    ("documents", "hip", "positions", "shape", "limits", "room"),
    [
        (1000, HIP, "auto", LLAMA, None, 3096),  # as dense as a single question finds it
        (1000, HIP, "auto", replace(LLAMA, window=3000), None, 2000),
        (2560, HIP, "auto", LLAMA, None, 1536),
        (2561, HIP, "auto", LLAMA, None, 5631),  # to the end of the window
        (6656, HIP, "auto", LLAMA, None, 1536),
        (6657, HIP, "auto", LLAMA, None, ROOM),  # packed, which has no end
        (6657, HIP, "exact", LLAMA, None, 1535),
        (9000, HIP, "exact", LLAMA, None, 768),  # refused afterwards
        (7000, HIP, "auto", LLAMA, "of a test", 1192),
        (7000, DENSE, "auto", LLAMA, None, 1192),
        (10_000, HIP, "auto", QWEN, None, ROOM),
        (30_000, HIP, "auto", QWEN, None, 2768),
        (60_000, HIP, "auto", QWEN, None, 5536),  # to the end of positions that are stretched twice
        (100_000, HIP, "auto", replace(QWEN, window=None), None, ROOM),
    ],
)
def test_room(documents, hip, positions, shape, limits, room: int) -> None:
    assert room_for(documents, 512, hip, positions, shape, limits=limits) == room
    if hip is HIP and positions == "auto" and room < ROOM:
        alone, together = (place(hip, positions, documents + more, shape, limits=limits) for more in (768, room))
        assert alone == together
