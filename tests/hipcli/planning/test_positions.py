"""Where keys stand in prompts of any length, on models of any family."""

from dataclasses import replace

import pytest
from hip_attention import HipConfig
from hip_attention.rope_config import Yarn

from hipcli.errors import ExitCode, HipError
from hipcli.models.resolve import ModelShape
from hipcli.planning.positions import place

LLAMA = ModelShape(
    family="llama", layers=2, hidden=16, heads=4, kv_heads=2, head_dim=4, window=8192, weight_bytes=2**20
)
QWEN = replace(LLAMA, family="qwen2")
QWEN3 = replace(LLAMA, family="qwen3", window=40_960)
SILENT = replace(LLAMA, window=None)
HIP = HipConfig()
DENSE = HipConfig(backend="dense")
OURS = frozenset({"top_k", "window"})


def packed(start: int) -> HipConfig:
    return replace(HIP, packed_from=start)


@pytest.mark.parametrize(
    ("positions", "tokens", "shape", "hip", "yarn"),
    [
        ("auto", 8192, LLAMA, HIP, None),
        ("auto", 8193, LLAMA, packed(8192), None),
        ("auto", 10**6, SILENT, HIP, None),
        ("auto", 8192, QWEN, HIP, None),
        ("auto", 8193, QWEN, HIP, Yarn(2, 8192)),
        ("auto", 16_384, QWEN, HIP, Yarn(2, 8192)),
        ("auto", 16_385, QWEN, HIP, Yarn(4, 8192)),
        ("auto", 32_768, QWEN, HIP, Yarn(4, 8192)),
        ("auto", 32_769, QWEN, packed(8192), None),
        ("auto", 8193, replace(QWEN, rope="yarn"), packed(8192), None),
        ("auto", 40_960, QWEN3, HIP, None),
        ("auto", 40_961, QWEN3, HIP, Yarn(2, 32_768)),
        ("auto", 65_537, QWEN3, HIP, Yarn(4, 32_768)),
        ("auto", 131_073, QWEN3, packed(40_960), None),
        ("auto", 500_000, replace(QWEN3, window=262_144), HIP, Yarn(2, 262_144)),
        ("exact", 8193, QWEN, HIP, None),
        ("packed", 100, QWEN, packed(4096), None),
        ("packed", 100, SILENT, packed(4096), None),
        ("yarn", 8192, LLAMA, HIP, None),
        ("yarn", 16_385, LLAMA, HIP, Yarn(4, 8192)),
        ("yarn", 10**6, LLAMA, HIP, Yarn(4, 8192)),
    ],
)
def test_placed(positions, tokens: int, shape: ModelShape, hip: HipConfig, yarn: Yarn | None) -> None:
    assert place(HIP, positions, tokens, shape) == (hip, yarn)


@pytest.mark.parametrize(
    ("hip", "trained", "window"),
    [
        (HIP, 8192, 4096),
        (HIP, 32_768, 4096),
        (HIP, 4096, 2048),
        (HIP, 2048, 816),  # all that is left beside sink, selected keys and the query block
        (replace(HIP, top_k=6144), 8192, 1840),
        (replace(HIP, top_k=0, window=1536), 8192, 5120),  # streaming sees as many keys
    ],
)
def test_packed_rows_see_more_recent_keys_unless_told_otherwise(hip: HipConfig, trained: int, window: int) -> None:
    shape = replace(LLAMA, window=trained)
    (wide, _), (narrow, _) = (place(hip, "auto", 10**5, shape, unasked) for unasked in (OURS, frozenset()))
    assert (wide.window, narrow.window) == (window, hip.window)
    assert wide.packed_length <= trained
    assert wide.top_k == hip.top_k
    assert place(hip, "auto", trained, shape, OURS) == (hip, None)


@pytest.mark.parametrize("positions", ["auto", "yarn"])
def test_stretched_rows_see_more_keys_unless_told_otherwise(positions) -> None:
    far = Yarn(2, 8192)
    assert place(HIP, positions, 8193, QWEN, OURS) == (replace(HIP, window=4096, top_k=2048), far)
    assert place(HIP, positions, 8193, QWEN, frozenset({"top_k"})) == (replace(HIP, top_k=2048), far)
    assert place(HIP, positions, 8193, QWEN, frozenset({"window"})) == (replace(HIP, window=4096), far)
    assert place(HIP, positions, 8192, QWEN, OURS) == (HIP, None), "nothing is stretched"
    assert place(DENSE, "yarn", 8193, QWEN, OURS) == (DENSE, far)
    streaming = replace(HIP, top_k=0)
    assert place(streaming, positions, 8193, QWEN, OURS) == (replace(streaming, window=4096), far)


@pytest.mark.parametrize(("positions", "yarn"), [("auto", None), ("packed", None), ("yarn", Yarn(2, 8192))])
def test_dense_attention_is_stretched_by_force_alone(positions, yarn: Yarn | None) -> None:
    assert place(DENSE, positions, 10_000, QWEN) == (DENSE, yarn)


@pytest.mark.parametrize(
    ("positions", "hip", "shape", "said"),
    [
        ("yarn", HIP, replace(QWEN, rope="yarn"), "already scaled"),
        ("yarn", HIP, SILENT, "does not say how far"),
        ("packed", replace(HIP, top_k=8192), LLAMA, "--top-k, --sink and --window take"),
        ("auto", replace(HIP, top_k=8192), LLAMA, "--top-k, --sink and --window take"),
    ],
)
def test_refused(positions, hip: HipConfig, shape: ModelShape, said: str) -> None:
    with pytest.raises(HipError, match=said) as caught:
        place(hip, positions, 10_000, shape)
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.hint


@pytest.mark.parametrize("positions", ["packed", "yarn"])
def test_limits_refuse_positions_by_force(positions) -> None:
    with pytest.raises(HipError, match=f"--positions {positions}: this model cannot: it is phi") as caught:
        place(HIP, positions, 100, QWEN, limits="it is phi")
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.hint


@pytest.mark.parametrize("positions", ["auto", "exact"])
@pytest.mark.parametrize("shape", [LLAMA, QWEN])
def test_limits_leave_positions_as_they_are(positions, shape: ModelShape) -> None:
    assert place(HIP, positions, 10_000, shape, OURS, "it is phi") == (HIP, None)
