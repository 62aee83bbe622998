"""Where keys stand: at their place in the prompt, or beyond the model's trained window packed together."""

from dataclasses import replace

from hip_attention.config import HipConfig

from hipcli.errors import ExitCode, HipError
from hipcli.options import PositionKind


def place(hip: HipConfig, positions: PositionKind, tokens: int, window: int | None) -> HipConfig:
    """The attention for a context of `tokens` tokens on a model trained to `window` (None: it does not say).

    "auto" packs positions from the trained window on when the context is longer; "packed" from `min_context` on,
    however long the context is. Raises HipError, exit code 2, when what a packed row sees exceeds the trained window.
    """
    if hip.backend == "dense" or positions == "exact":
        return hip
    if positions == "auto" and (window is None or tokens <= window):
        return hip
    start = hip.min_context if positions == "packed" or window is None else window
    seen = hip.packed_length
    if seen > (window or start):
        raise HipError(
            f"--top-k, --sink and --window take {seen:,} positions, the model's trained window has {window or start:,}",
            "lower --top-k or --window, or use a model with a longer window",
            ExitCode.USAGE,
        )
    return replace(hip, packed_from=start)
