"""A few tokens through the real cache, compared with the same tokens computed in another way, before anything is said.

Two chunks are read and two tokens decoded by the sparse path, with a selection of all there is, so attention must be
exact; and one of them again, after the cache was cut back, saved and restored. Logits, and every layer's keys and
values, must be those of one pass without a cache. That finds a cache that is ignored, positions that are off, weights
that were mixed up or scaled wrongly, selections that are too small.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn
from torch import Tensor

from hipcli.engine.prefill import BROKEN_HINT, Context
from hipcli.errors import HipError
from hipcli.models.language_model import LoadedModel
from hipcli.planning.positions import stretching
from hipcli.prompt.tokenizer import Tokenizer

TEXT = """The quick brown fox jumps over the lazy dog. On Monday the mill at the river burned down; nobody was hurt,
and the village rebuilt it by the summer. """
_DECODED = 2
# Rounding changes logits and keys by a smaller share of their size, values by up to twice that (docs/self-check.md).
_TOLERANCE = {torch.bfloat16: 0.12, torch.float16: 0.04, torch.float32: 1e-3}
_OF_VALUES = 1.6


@dataclass(frozen=True)
class CacheKind:
    """How the cache of a run stores and places keys."""

    hip: HipConfig
    yarn: Yarn | None = None
    int8: bool = False


def check_model(loaded: LoadedModel, tokenizer: Tokenizer, kinds: Iterable[CacheKind]) -> None:
    """Check a model through each of these kinds of cache. Raises HipError as `self_check` does."""
    ids = tokenizer.encode(TEXT, control=False) or [0]
    for kind in dict.fromkeys(kinds):
        self_check(loaded, ids, kind)


def self_check(loaded: LoadedModel, ids: Sequence[int], kind: CacheKind) -> None:
    """Raise HipError where a cache of this kind does not give what the model's `reference` gives, or cannot be.

    `ids` are tokens of any text, not empty; they are repeated where they are too few.
    """
    on_gpu = loaded.model.device.type == "cuda"
    config = _everything(kind.hip, on_gpu)
    chunk = config.block_q if on_gpu else 2 * config.block_q
    read = 2 * chunk
    count = read + _DECODED
    ids = (list(ids) * count)[:count]

    def empty() -> Context:
        return Context(loaded.model, config, count, yarn=kind.yarn, int8=kind.int8, chunk_tokens=chunk, capture=False)

    with stretching(kind.yarn):
        context = empty()
    try:
        with torch.inference_mode():
            rows = [context.next_logits(ids[start : start + chunk]) for start in (0, chunk)]
            rows += [context.decode(token).clone() for token in ids[read:]]
            expected = loaded.reference(torch.tensor(ids, device=loaded.model.device), kind.yarn)
    except ValueError as error:  # what attention says of inputs that it was not made for
        raise HipError(f"{loaded.name}: the self-check failed: {error}", BROKEN_HINT) from error
    # Integers round about as much as bfloat16 does.
    tolerance = max(_TOLERANCE[loaded.model.dtype], _TOLERANCE[torch.bfloat16] if kind.int8 else 0.0)
    for layer, cache in enumerate(context.cache.layers):
        for name, allowed, stored, known in (
            ("keys", tolerance, cache.stored.positioned(0, count), expected.keys[layer]),
            ("values", _OF_VALUES * tolerance, cache.stored.values.part(0, count), expected.values[layer]),
        ):
            if known.shape[1] == count:  # transformers keeps the last tokens of a sliding window alone
                known = _once_an_expert(known, stored.shape[1])
                if known.shape != stored.shape[1:]:
                    what = f"{name} of layer {layer} are {list(stored.shape[1:])}, not {list(known.shape)}"
                    raise HipError(f"{loaded.name}: the self-check failed: {what}", BROKEN_HINT)
                chunks = (x.transpose(0, 1).flatten(1).split(chunk) for x in (stored[0].float(), known.float()))
                for one, other in zip(*chunks, strict=True):  # [tokens, heads * D]
                    _compare(f"{name} of layer {layer}", one.view(1, -1), other.view(1, -1), allowed, loaded.name)
    known_rows = expected.logits[[chunk - 1, read - 1, *range(read, count)]]
    _compare("logits", _centred(torch.cat(rows)), _centred(known_rows), tolerance, loaded.name)
    context.truncate(read)
    again = empty()
    again.restore(context.export(0, read))
    after = _centred(again.decode(ids[read]))
    _compare("logits of a restored cache", after, _centred(known_rows[2:3]), tolerance, loaded.name)


def _everything(hip: HipConfig, on_gpu: bool) -> HipConfig:
    """Settings that select all of a few tokens: on a GPU with the blocks of the run, whose kernels then are those."""
    common = replace(
        hip, min_context=0, dense_layers=min(hip.dense_layers, 1), select_always=hip.backend != "dense",
        selector=hip.selector if hip.uses_summaries else "summary-exact",
        packed_from=None if hip.packed_from is None else 1 << 30,
    )  # fmt: skip
    if not on_gpu:
        return replace(common, block_q=8, block_k=4, sink=8, window=8, top_k=32)
    sink = min(hip.sink, 4 * hip.block_k)
    searched = hip.block_q // hip.block_k + 2  # blocks between the first keys and the window of the last token
    return replace(common, sink=sink, window=max(hip.block_q, hip.block_k), top_k=searched * hip.block_k)


def _once_an_expert(known: Tensor, heads: int) -> Tensor:
    """Keys or values [H, T, D] as attention gets them: models with experts for queries hand it `heads`, a copy of the
    stored ones for each expert that answers.
    """
    return known.repeat(heads // len(known), 1, 1) if heads % len(known) == 0 else known


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(-1, keepdim=True)


def _compare(what: str, found: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    """Raise HipError where a row of found [T, N] differs from the expected one by more than a share of its size."""
    error = ((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max().item()
    if not error <= tolerance:  # NaN is no number within it either
        raise HipError(
            f"{name}: the self-check failed: {what} are off by {error:.2g} of their size, where rounding explains "
            f"{tolerance:g}",
            BROKEN_HINT,
        )
