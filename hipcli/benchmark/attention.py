"""Measure attention on a GPU: prefill, short prompts and decode, this library beside PyTorch's own kernels."""

import importlib.util
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from hip_attention.attention import attention
from hip_attention.config import Backend, HipConfig, Selector
from hip_attention.plan import searchable_blocks, sparse_start
from hip_attention.triton_backend.decode import DecodeState
from hip_attention.triton_backend.prefill import PAIRS
from hip_attention.triton_backend.select import select
from hip_attention.triton_backend.summaries import TreeSummaries
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
SEGMENT = 64  # keys that share a topic in planted data
LAYERS = 6  # decode takes turns among so many queries, whose keys together do not stay in the cache
SELECTORS: tuple[Selector, ...] = ("summary", "summary-exact")
SLOWEST = 2.0e4  # a dense run longer than this, in milliseconds, is left out


@dataclass(frozen=True)
class Shape:
    """One layer: query heads, key heads and head dimension."""

    heads: int = 32
    heads_k: int = 8
    dim: int = 128


@dataclass(frozen=True)
class Row:
    """One measurement; times are medians in milliseconds.

    density: share of causal keys attended to. tflops: rate of the products that attention over those keys takes.
    select: part of the time that summaries and selection take. error: relative to attention in fp32 over the same
    keys; error_dense: over all keys; both on sampled rows. found: share of planted segments that were selected.
    memory: largest use beyond query, key, value and output, as a share of the keys' bytes.
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


def configs(top_k: tuple[int, ...], base: HipConfig) -> dict[str, HipConfig]:
    """The settings that are measured at every length, by name."""
    return {
        f"{selector} k={count} block_q={block_q} query_stride={stride}": replace(
            base, top_k=count, selector=selector, block_q=block_q, query_stride=stride
        )
        for count in top_k
        for selector in SELECTORS
        for block_q, stride in ((64, 4), (128, 8), (128, 4))
    }


def published(top_k: tuple[int, ...], base: HipConfig) -> dict[str, HipConfig]:
    """HiP's own rule, by name; measured where it takes seconds at most. Smaller key blocks exceed shared memory."""
    return {
        f"representative k={count}": replace(base, top_k=count, selector="representative", block_q=64, query_stride=4)
        for count in top_k
    }


def make_data(kind: str, length: int, shape: Shape, device: str = "cuda") -> tuple[Tensor, Tensor, Tensor]:
    """Random query, key and value in bf16. In "planted" data neighbouring keys resemble each other, and every
    stretch of 64 queries asks for one earlier stretch of 64 keys, see `target_segments`."""
    generator = torch.Generator(device=device).manual_seed(length)

    def draw(heads: int) -> Tensor:
        return torch.randn(1, heads, length, shape.dim, generator=generator, device=device, dtype=torch.bfloat16)

    query, key, value = draw(shape.heads), draw(shape.heads_k), draw(shape.heads_k)
    if kind == "planted":
        segments = -(-length // SEGMENT)
        topics = torch.randn(
            1, shape.heads_k, segments, shape.dim, generator=generator, device=device, dtype=torch.bfloat16
        )
        target = target_segments(length, device)
        group = shape.heads // shape.heads_k
        for h in range(shape.heads_k):  # a head at a time: a million tokens leave no room for copies
            key[:, h] += topics[:, h].repeat_interleave(SEGMENT, 1)[:, :length]
            wanted = topics[:, h, target].repeat_interleave(SEGMENT, 1)[:, :length]
            query[:, h * group : (h + 1) * group] += wanted[:, None]
    return query, key, value


def target_segments(length: int, device: str) -> Tensor:
    """The stretch of keys that each stretch of 64 queries asks for in planted data: int64 [segments]."""
    segments = torch.arange(-(-length // SEGMENT), device=device)
    return segments * 40503 % 65536 * segments // 65536


def milliseconds(function: Callable[[], object], repeat: int = 7) -> float:
    """Median time of a call after one to warm up, of fewer calls if they take more than a second.

    A slow call needs no warming if it kept the host busy for next to none of that time.
    """
    first, host = _timed(function)
    if first > 1000 and host < first / 20:
        return first
    times: list[float] = []
    while len(times) < repeat and sum(times) < 1000:
        times.append(_timed(function)[0])
    return statistics.median(times)


def _timed(function: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds that a call takes on the GPU, and until it returns on the host."""
    begun = time.perf_counter()
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    function()
    stop.record()
    host = 1000 * (time.perf_counter() - begun)
    torch.cuda.synchronize()
    return start.elapsed_time(stop), host


Dense = Callable[[Tensor, Tensor, Tensor], object]


def dense_ways() -> dict[str, Dense]:
    """Causal attention over all keys that this library is compared with, by name."""

    def through(backend: SDPBackend) -> Dense:
        def run(query: Tensor, key: Tensor, value: Tensor) -> object:
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)

        return run

    ways = {name: through(backend) for name, backend in BACKENDS.items()}
    if importlib.util.find_spec("fa3_fwd_interface") is not None:
        interface = importlib.import_module("fa3_fwd_interface")
        ways["flash 3"] = lambda *tensors: interface.flash_attn_func(*(x.transpose(1, 2) for x in tensors), causal=True)
    return ways


def prefill_rows(lengths: tuple[int, ...], kinds: tuple[str, ...], methods: dict[str, HipConfig]) -> Iterator[Row]:
    """Time and check prefill of whole prompts."""
    shape = Shape()
    for length in lengths:
        for kind in kinds:
            query, key, value = make_data(kind, length, shape)
            pairs = length * (length + 1) / 2
            expected = max(1, length // 131072) ** 2 * 450  # milliseconds FlashAttention-2 takes, roughly
            for name, way in dense_ways().items():
                if kind == kinds[0] and expected < SLOWEST / 2:
                    duration = _dense_time(way, query, key, value)
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
                same, dense = _errors(query, key, value, output, config)
                found = _found(query, key, config) if kind == "planted" else None
                density = attended / pairs
                memory = peak / key.nbytes
                yield Row("prefill", length, kind, name, duration, rate, density, chosen, same, dense, found, memory)
                del output


def short_rows(lengths: tuple[int, ...], config: HipConfig) -> Iterator[Row]:
    """Time short prompts, which "auto" attends densely where that is faster."""
    shape = Shape()
    for length in lengths:
        query, key, value = make_data("random", length, shape)
        for name, dense in dense_ways().items():
            duration = _dense_time(dense, query, key, value)
            if duration is not None:
                yield Row("short", length, "random", name, duration)
        ways: dict[str, Backend] = {"dense": "dense", "hip": "auto", "hip, always searching": "triton"}
        for way, choice in ways.items():
            duration = milliseconds(partial(attention, query, key, value, replace(config, backend=choice)), 21)
            yield Row("short", length, "random", way, duration)


def decode_rows(lengths: tuple[int, ...], config: HipConfig) -> Iterator[Row]:
    """Time one token of one layer: a refresh interval's steps in a CUDA graph, selection and summaries included."""
    for length in lengths:
        yield from _decode_at(length, config)


def _decode_at(length: int, config: HipConfig) -> Iterator[Row]:
    shape = Shape()
    query, key, value = make_data("random", length, shape)
    rows = [query[:, :, -1 - i : query.shape[2] - i].contiguous() for i in range(LAYERS)]
    summaries = TreeSummaries(config.sink, config.block_k)
    summaries.extend(key[:, :, config.sink :])
    states = [DecodeState(config.of_decode, 1, shape.heads, shape.heads_k, shape.dim, query.device) for _ in rows]
    output = torch.empty_like(rows[0])
    layers = list(zip(states, rows, strict=True))
    steps = config.refresh_interval

    def refresh() -> None:
        for state, row in layers:
            state.refreshed.fill_(length - 2 * steps)
            summaries.extend_on_device(key, state.length, state.refreshed)
            state.refresh(row, summaries, key)

    def step() -> None:
        for state, row in layers:
            state.attend(row, key, value, shape.dim**-0.5, output)

    def interval() -> None:
        refresh()
        for _ in range(steps):
            step()

    for state in states:
        state.length.fill_(length)
        state.refresh(rows[0], summaries, key)
    times = {f.__name__: graph_milliseconds(f) / LAYERS for f in (interval, refresh, step)}
    yield Row("decode", length, "random", "hip", times["interval"] / steps, select=times["refresh"] / steps)
    yield Row("decode", length, "random", "hip, attention alone", times["step"])
    for name, backend in BACKENDS.items():
        grouped = rows[0].view(1, shape.heads_k, -1, shape.dim)
        try:
            with sdpa_kernel(backend):
                duration = graph_milliseconds(partial(F.scaled_dot_product_attention, grouped, key, value))
        except RuntimeError:
            continue
        yield Row("decode", length, "random", name, duration)


def graph_milliseconds(function: Callable[[], object]) -> float:
    """Median time of a call replayed from a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        function()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(4):
            function()
    return milliseconds(graph.replay, 9) / 4


def attended_keys(length: int, config: HipConfig) -> int:
    """Keys that all rows of a prompt attend to, a head."""
    dense = sparse_start(length, length, config)
    most = config.sink + config.top_k + config.window
    rising = max(dense, min(length, most))
    return rising * (rising + 1) // 2 + (length - rising) * most


def _dense_time(way: Dense, query: Tensor, key: Tensor, value: Tensor) -> float | None:
    try:
        return milliseconds(partial(way, query, key, value))
    except RuntimeError:
        return None


def select_all(query: Tensor, key: Tensor, config: HipConfig) -> None:
    """Summarise the keys and select for every query block of a prompt, with the Triton kernels."""
    length, block_q = key.shape[2], config.block_q
    summaries = TreeSummaries(config.sink, config.block_k)
    if config.uses_summaries:
        summaries.extend(key[:, :, config.sink :])
    start, stop = sparse_start(length, length, config) // block_q, -(-length // block_q)
    together = PAIRS // query.shape[1]
    for block in range(start, stop, together):
        select(query, block * block_q, min(together, stop - block), length, config, summaries, key)


def _sample(length: int, config: HipConfig, count: int = 8) -> list[int]:
    start = sparse_start(length, length, config)
    return [start + (length - 1 - start) * i // (count - 1) for i in range(count)]


def _blocks_of(query: Tensor, key: Tensor, position: int, config: HipConfig) -> Tensor:
    """Selected blocks [Hq, K] of the query block at `position`, found by the kernels alone for it."""
    stop = min(key.shape[2], (position // config.block_q + 1) * config.block_q)
    summaries = TreeSummaries(config.sink, config.block_k)
    if config.uses_summaries:
        summaries.extend(key[:, :, config.sink : stop])
    begin = position // config.block_q * config.block_q
    return select(query[:, :, begin:stop], begin, 1, stop, config, summaries, key)[0, :, 0].long()


def _errors(query: Tensor, key: Tensor, value: Tensor, output: Tensor, config: HipConfig) -> tuple[float, float]:
    """Largest relative error of sampled rows against fp32 attention over the same keys, and over all keys."""
    heads, group = query.shape[1], query.shape[1] // key.shape[1]
    same: list[float] = []
    dense: list[float] = []
    for position in _sample(key.shape[2], config):
        blocks = _blocks_of(query, key, position, config)
        token = torch.arange(position + 1, device=query.device)
        old = token <= position - config.window
        for h in range(0, heads, group + 1):
            seen = ~old | (token < config.sink) | torch.isin(token // config.block_k, blocks[h])
            logits = key[0, h // group, : position + 1].float() @ query[0, h, position].float()
            logits *= query.shape[3] ** -0.5
            values = value[0, h // group, : position + 1].float()
            found = output[0, h, position].float()
            for mask, errors in ((seen, same), (torch.ones_like(seen), dense)):
                exact = logits.masked_fill(~mask, -math.inf).softmax(0) @ values
                errors.append(((found - exact).norm() / exact.norm()).item())
    return max(same), statistics.mean(dense)


def _found(query: Tensor, key: Tensor, config: HipConfig) -> float:
    """Share of sampled query blocks and heads that selected every block of the segment they ask for."""
    target = target_segments(key.shape[2], "cuda")
    hits = []
    per_segment = SEGMENT // config.block_k
    for position in _sample(key.shape[2], config, 32):
        blocks = _blocks_of(query, key, position, config)
        begin = position // config.block_q * config.block_q
        low = config.sink // config.block_k
        high = low + searchable_blocks(begin + config.block_q - 1, config.sink, config.window, config.block_k)
        for segment in target[begin // SEGMENT : (begin + config.block_q) // SEGMENT].tolist():
            wanted = torch.arange(segment * per_segment, (segment + 1) * per_segment, device="cuda")
            if wanted[0] < low or wanted[-1] >= high:
                continue
            hits.append((blocks[:, :, None] == wanted).any(1).all(1).float().mean().item())
    return statistics.mean(hits) if hits else math.nan
