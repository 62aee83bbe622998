"""What a cache takes in memory, estimated before it is allocated. Imports nothing heavy."""

from dataclasses import dataclass

from hip_attention.config import HipConfig
from hip_attention.plan import decoded_sparsely, true_positions

_SCALE_BYTES = 2  # per token and head stored as int8


@dataclass(frozen=True)
class CacheShape:
    """The sizes of a model's attention: layers, query heads, KV heads, and dimensions of a head."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True)
class CacheBytes:
    """Bytes of keys and values, of the summaries that are searched, and of memory to work in."""

    keys_and_values: int
    summaries: int
    workspace: int


def cache_bytes(
    shape: CacheShape, tokens: int, config: HipConfig, value_bytes: int, *, int8: bool = False, on_gpu: bool = False
) -> CacheBytes:
    """Estimate for `tokens` tokens whose numbers have `value_bytes` bytes, stored as they are or as int8."""
    one_layer = 2 * tokens * shape.kv_heads * shape.head_dim * value_bytes
    keys_and_values, workspace = shape.layers * one_layer, 0
    if int8:
        # Dense layers keep their dtype; the others share memory for one of them, dequantised.
        coded_layers = max(0, shape.layers - config.full_layers)
        coded = 2 * tokens * shape.kv_heads * (shape.head_dim + _SCALE_BYTES)
        keys_and_values = (shape.layers - coded_layers) * one_layer + coded_layers * coded
        workspace = one_layer
    # Mean and variance of every key block, and of the tree above them, which is as large again.
    searched = config.backend != "dense" and config.top_k > 0
    summaries = shape.layers * one_layer // 2 * 4 // config.block_k if searched else 0
    if config.caches_unrotated(int8):
        workspace += _rotated_keys(shape, tokens, config) * value_bytes
    if not on_gpu:
        workspace += _working_sets(shape, tokens, config) * value_bytes
    return CacheBytes(keys_and_values, summaries, workspace)


def _rotated_keys(shape: CacheShape, tokens: int, config: HipConfig) -> int:
    """Number of elements in copies of keys at true positions.

    Layers share one such copy, and as much memory again while it is made; where positions are packed later, dense
    layers keep a copy each until then.
    """
    kept = 0 if config.packed_from is None else min(config.dense_layers, shape.layers)
    return (kept + 2) * true_positions(config, tokens) * shape.kv_heads * shape.head_dim


def _working_sets(shape: CacheShape, tokens: int, config: HipConfig) -> int:
    """Largest number of elements in the working sets of decode, see `torch_backend.working_set`."""
    decode = config.of_decode
    if config.backend == "dense" or not decoded_sparsely(tokens - 1, decode):
        return 0
    selected = shape.heads * decode.top_k
    if config.packed_from is None:
        selected = min(selected, shape.kv_heads * tokens)  # a GQA group shares what its heads selected
    keys = selected + shape.kv_heads * (config.sink + config.window)
    return 2 * keys * shape.head_dim * max(0, shape.layers - config.full_layers)
