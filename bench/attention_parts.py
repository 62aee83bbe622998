"""What each part of prefill attention takes on a GPU: python bench/attention_parts.py [TOKENS [TOP_K]].

256 query blocks of 128 rows from the middle of the prompt are measured, and scaled to all.
"""

import json
import sys
from datetime import UTC, datetime

import torch
from attention import RESULTS
from hip_attention.config import HipConfig
from hip_attention.triton_backend import attend as triton_attend
from hip_attention.triton_backend.select import select
from hip_attention.triton_backend.summaries import TreeSummaries
from torch.profiler import ProfilerActivity, profile

from hipcli.benchmark.data import Shape, make_data
from hipcli.benchmark.timing import milliseconds

COUNT = 256


def main(length: int, top_k: int) -> None:
    query, key, value = make_data("random", length, Shape())
    config = HipConfig(top_k=top_k, block_q=128, selector="summary", backend="triton")
    begin = length // 2
    stop = begin + COUNT * config.block_q
    query = query[:, :, :stop]
    tree = TreeSummaries(config.sink, config.block_k)
    tree.extend(key[:, :, config.sink :])
    output = torch.empty_like(query)
    blocks = select(query, begin, COUNT, stop, config, tree, None)
    scale = length / config.block_q / COUNT

    def attend(tables: tuple[torch.Tensor, torch.Tensor] | None = None, packed: bool = False) -> float:
        def run() -> None:
            triton_attend.attend(
                query, key, value, blocks, begin, COUNT, stop, output, scale=128**-0.5, sink=config.sink,
                window=config.window, block_q=config.block_q, block_k=config.block_k, tables=tables, packed=packed,
            )  # fmt: skip

        return scale * milliseconds(run)

    tables = (torch.rand(length, 64, device="cuda", dtype=torch.bfloat16),) * 2
    parts = {
        "summaries": milliseconds(lambda: TreeSummaries(config.sink, config.block_k).extend(key[:, :, config.sink :])),
        "attend": attend(),
        "attend, keys rotated": attend(tables),
        "attend, keys rotated to packed positions": attend(tables, True),
    }
    specialised, triton_attend.GLUON = triton_attend.GLUON, False
    parts["attend, without the kernel for Hopper"] = attend()
    triton_attend.GLUON = specialised
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        select(query, begin, COUNT, stop, config, tree, None)
        torch.cuda.synchronize()
    for event in profiler.key_averages():
        if event.device_time_total:
            parts[event.key] = scale * event.device_time_total / 1000
    date = datetime.now(UTC).date().isoformat()
    result = {
        "date": date,
        "device": torch.cuda.get_device_name(),
        "tokens": length,
        "top_k": top_k,
        "milliseconds": parts,
    }
    (RESULTS / "attention_parts.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["131072"])[0]), int((sys.argv[2:] or ["1024"])[0]))
