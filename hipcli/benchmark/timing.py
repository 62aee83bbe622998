"""How long a call takes on the GPU."""

import statistics
import time
from collections.abc import Callable

import torch


def milliseconds(function: Callable[[], object], repeat: int = 7) -> float:
    """Median GPU time of up to `repeat` calls, in milliseconds. The first call is not counted.

    No further call is made once they have taken a second together. If the first call takes longer than a second and
    keeps the host busy for less than a twentieth of it, so that nothing was compiled, its own time is returned.
    """
    first, host = _timed(function)
    if first > 1000 and host < first / 20:
        return first
    times: list[float] = []
    while len(times) < repeat and sum(times) < 1000:
        times.append(_timed(function)[0])
    return statistics.median(times)


def graph_milliseconds(function: Callable[[], object]) -> float:
    """Median GPU time of a call that is replayed from a CUDA graph, in milliseconds."""
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


def _timed(function: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds that a call takes on the GPU, and milliseconds until it returns on the host."""
    begun = time.perf_counter()
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    function()
    stop.record()
    host = 1000 * (time.perf_counter() - begun)
    torch.cuda.synchronize()
    return start.elapsed_time(stop), host
