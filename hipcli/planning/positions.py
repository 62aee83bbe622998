"""Where keys stand: at their place in the prompt, or beyond the trained window stretched or packed together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn

from hipcli.cli.options import LONG_WINDOW, STRETCHED_TOP_K, PositionKind
from hipcli.errors import ExitCode, HipError
from hipcli.models.resolve import ModelShape

# Families whose model cards say how to stretch their positions, and how far.
_YARN_FAMILIES = {"qwen2", "qwen2_moe", "qwen3", "qwen3_moe"}
_YARN_LIMIT = 4


def place(
    hip: HipConfig,
    positions: PositionKind,
    tokens: int,
    shape: ModelShape,
    unasked: frozenset[str] = frozenset(),
    limits: str | None = None,
) -> tuple[HipConfig, Yarn | None]:
    """The attention for a context of `tokens` tokens on a model of this shape, and what stretches its positions.

    "auto" stretches or packs positions when the context is longer than the trained window: stretches them where the
    model's makers do, as far as they go, and otherwise packs them from there on; "packed" packs from `min_context` on,
    however long the context is. The stretch is a power of two, so that contexts that are nearly as long share it.
    The rows of such a context see more recent keys than `hip.window`, and at stretched positions select more than
    `hip.top_k`, where these are `unasked` for (docs/appendix/positions.md says why).
    `limits` says why a model can have neither, if it cannot: its context ends with the trained window.
    Raises HipError, exit code 2, for positions that cannot be stretched or packed, and when what a packed row sees
    exceeds the trained window.
    """
    if limits is not None:
        if positions in ("yarn", "packed"):
            hint = "say --positions auto, or use Llama, Qwen 2 or 3, Mistral or Gemma 3"
            raise HipError(f"--positions {positions}: this model cannot: {limits}", hint, ExitCode.USAGE)
        return hip, None
    if positions == "yarn":
        return _stretched(hip, _smallest_stretch(tokens, shape), unasked)
    fits = shape.window is None or tokens <= shape.window
    if hip.backend == "dense" or positions == "exact" or (positions == "auto" and fits):
        return hip, None
    if positions == "auto" and shape.family in _YARN_FAMILIES and shape.rope == "default":
        yarn = _smallest_stretch(tokens, shape)
        if yarn is not None and tokens <= yarn.length:
            return _stretched(hip, yarn, unasked)
    return _packed(hip, positions, shape.window, "window" in unasked), None


def stretch(shape: ModelShape, factor: float) -> Yarn:
    """The trained window of a model, stretched. Raises HipError, exit code 2, where that cannot be."""
    if shape.rope != "default":
        raise cannot_stretch(f"the model's positions are already scaled ({shape.rope})")
    if shape.window is None:
        raise cannot_stretch("the model does not say how far it was trained")
    return Yarn(factor, _original(shape.family, shape.window))


def _smallest_stretch(tokens: int, shape: ModelShape) -> Yarn | None:
    """What stretches the trained window over `tokens` tokens, as far as YaRN goes; None where they fit as they are."""
    yarn = stretch(shape, 1)
    if tokens <= (shape.window or 0):
        return None
    while yarn.length < tokens and yarn.factor < _YARN_LIMIT:
        yarn = replace(yarn, factor=2 * yarn.factor)
    return yarn


def _original(family: str, window: int) -> int:
    """The positions that a factor counts from."""
    # Qwen3's configurations say 40,960, room for an answer included; its model cards stretch 32,768.
    return 32_768 if family.startswith("qwen3") and window == 40_960 else window


def _packed(hip: HipConfig, positions: PositionKind, window: int | None, widen: bool) -> HipConfig:
    start = hip.min_context if positions == "packed" or window is None else window
    trained, seen = window or start, hip.packed_length
    if seen > trained:
        raise HipError(
            f"--top-k, --sink and --window take {seen:,} positions, the model's trained window has {trained:,}",
            "lower --top-k or --window, or use a model with a longer window",
            ExitCode.USAGE,
        )
    return replace(_widened(hip, trained, trained - seen) if widen else hip, packed_from=start)


def _stretched(hip: HipConfig, yarn: Yarn | None, unasked: frozenset[str]) -> tuple[HipConfig, Yarn | None]:
    if yarn is None or hip.backend == "dense":
        return hip, yarn
    if "window" in unasked:
        hip = _widened(hip, yarn.original, yarn.length)
    if "top_k" in unasked and hip.top_k:
        hip = replace(hip, top_k=STRETCHED_TOP_K)
    return hip, yarn


def _widened(hip: HipConfig, trained: int, room: int) -> HipConfig:
    """`hip` with a window that is longer by up to `room`, for a model trained to `trained` tokens."""
    more = min(LONG_WINDOW, trained // 2) - HipConfig.window
    return replace(hip, window=hip.window + max(0, min(more, room)))


def cannot_stretch(what: str) -> HipError:
    """The error for positions that YaRN cannot stretch, and why not."""
    return HipError(f"--positions yarn: {what}", "say --positions auto", ExitCode.USAGE)


@contextmanager
def stretching(yarn: Yarn | None) -> Iterator[None]:
    """Raise HipError for the ValueError of a model whose positions `yarn` cannot stretch."""
    try:
        yield
    except ValueError as error:
        if yarn is None:
            raise
        raise cannot_stretch(str(error)) from error
