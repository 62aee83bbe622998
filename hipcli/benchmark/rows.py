"""The measurements, one row each: prefill, short prompts and decode."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from hip_attention.attention import attention
from hip_attention.config import Backend, HipConfig
from hip_attention.triton_backend.decode import DecodeBuffers
from hip_attention.triton_backend.summaries import TreeSummaries
from torch.nn.attention import sdpa_kernel

from hipcli.benchmark.accuracy import sampled_errors, share_found
from hipcli.benchmark.data import Shape, make_data
from hipcli.benchmark.methods import BACKENDS, attended_keys, dense_methods, select_all
from hipcli.benchmark.timing import graph_milliseconds, milliseconds
from hipcli.errors import first_line
from hipcli.output.messages import warn

LAYERS = 6  # number of queries that decode is measured with; their selected keys together exceed the GPU's cache
SLOWEST = 2.0e4  # milliseconds; dense attention is not measured where two calls would take longer


@dataclass(frozen=True)
class Row:
    """One measurement. Times are medians in milliseconds.

    kind: "prefill", "short" or "decode". length: tokens. data: kind of data, see `make_data`. density: share of the
    causal keys that are attended to. tflops: 10^12 floating-point operations a second, counting the two matrix products
    over those keys. select: time of summarising and selecting keys, a part of `milliseconds`. error: relative error
    against attention in float32 over the same keys; error_dense: over all keys; both on sampled queries. found: share
    of the planted segments that were selected. memory: peak memory in addition to query, key, value and output, divided
    by the size of the keys.
    """

    kind: str
    length: int
    data: str
    method: str
    milliseconds: float
    tflops: float | None = None
    density: float | None = None
    select: float | None = None
    error: float | None = None
    error_dense: float | None = None
    found: float | None = None
    memory: float | None = None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def prefill_rows(lengths: tuple[int, ...], kinds: tuple[str, ...], methods: dict[str, HipConfig]) -> Iterator[Row]:
    """Measure attention of a whole prompt with itself: time, memory and errors."""
    shape = Shape()
    for length in lengths:
        for kind in kinds:
            query, key, value = make_data(kind, length, shape)
            pairs = length * (length + 1) / 2
            expected = max(1, length // 131072) ** 2 * 450  # rough milliseconds of FlashAttention-2
            for name, way in dense_methods().items():
                if kind == kinds[0] and expected < SLOWEST / 2:
                    duration = _dense_time(name, length, partial(milliseconds, partial(way, query, key, value)))
                    if duration is not None:
                        rate = 4 * shape.heads * shape.dim * pairs / duration / 1e9
                        yield Row("prefill", length, kind, name, duration, rate, 1.0)
            for name, config in methods.items():
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                output = attention(query, key, value, config)
                peak = torch.cuda.max_memory_allocated() - before - output.nbytes
                duration = milliseconds(partial(attention, query, key, value, config))
                chosen = milliseconds(partial(select_all, query, key, config), 3)
                attended = attended_keys(length, config)
                rate = 4 * shape.heads * shape.dim * attended / duration / 1e9
                same, dense = sampled_errors(query, key, value, output, config)
                found = share_found(query, key, config) if kind == "planted" else None
                density = attended / pairs
                memory = peak / key.nbytes
                yield Row("prefill", length, kind, name, duration, rate, density, chosen, same, dense, found, memory)
                del output


def short_rows(lengths: tuple[int, ...], config: HipConfig) -> Iterator[Row]:
    """Measure the time of short prompts. The backend "auto" uses dense attention where that is faster."""
    shape = Shape()
    for length in lengths:
        query, key, value = make_data("random", length, shape)
        for name, dense in dense_methods().items():
            duration = _dense_time(name, length, partial(milliseconds, partial(dense, query, key, value)))
            if duration is not None:
                yield Row("short", length, "random", name, duration)
        ways: dict[str, Backend] = {"dense": "dense", "hip": "auto", "hip, always searching": "triton"}
        for way, choice in ways.items():
            duration = milliseconds(partial(attention, query, key, value, replace(config, backend=choice)), 21)
            yield Row("short", length, "random", way, duration)


def decode_rows(lengths: tuple[int, ...], config: HipConfig) -> Iterator[Row]:
    """Measure the time of one token in one layer, in a CUDA graph.

    For "hip" it is the mean over a refresh interval: one selection of keys, then `config.refresh_interval` steps with
    these keys. Further rows are for a step without selection and for dense attention.
    """
    for length in lengths:
        yield from _decode_at(length, config)


def _decode_at(length: int, config: HipConfig) -> Iterator[Row]:
    shape = Shape()
    query, key, value = make_data("random", length, shape)
    rows = [query[:, :, -1 - i : query.shape[2] - i].contiguous() for i in range(LAYERS)]
    summaries = TreeSummaries(config.sink, config.block_k)
    summaries.extend(key[:, :, config.sink :])
    decodes = [DecodeBuffers(config.of_decode, 1, shape.heads, shape.heads_k, shape.dim, query.device) for _ in rows]
    output = torch.empty_like(rows[0])
    layers = list(zip(decodes, rows, strict=True))
    steps = config.refresh_interval

    def refresh() -> None:
        for decode, row in layers:
            decode.refresh(row, summaries, key)

    def step() -> None:
        for decode, row in layers:
            decode.attend(row, key, value, shape.dim**-0.5, output)

    def interval() -> None:
        refresh()
        for _ in range(steps):
            step()

    for decode in decodes:
        decode.length.fill_(length)
        decode.refresh(rows[0], summaries, key)
    times = {f.__name__: graph_milliseconds(f) / LAYERS for f in (interval, refresh, step)}
    yield Row("decode", length, "random", "hip", times["interval"] / steps, select=times["refresh"] / steps)
    yield Row("decode", length, "random", "hip, attention alone", times["step"])
    grouped = rows[0].view(1, shape.heads_k, -1, shape.dim)
    for name, backend in BACKENDS.items():
        with sdpa_kernel(backend):
            attend = partial(F.scaled_dot_product_attention, grouped, key, value)
            duration = _dense_time(name, length, partial(graph_milliseconds, attend))
        if duration is not None:
            yield Row("decode", length, "random", name, duration)


def _dense_time(name: str, length: int, measure: Callable[[], float]) -> float | None:
    """The time of a dense method, None if it does not run on this GPU, which is said."""
    try:
        return measure()
    except RuntimeError as error:
        warn(f"{name} was not measured at {length:,} tokens: {first_line(error)}")
        return None
