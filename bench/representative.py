"""What selection by the published rule takes on a GPU, by size of key blocks: python bench/representative.py [TOKENS].

One layer as in bench/attention.py, random data. In PyTorch every size runs, in Triton those whose candidates fit a
GPU's shared memory; "summary" and the default stand beside them.
"""

import sys
from functools import partial

import torch
from common import save
from hip_attention.config import HipConfig
from hip_attention.plan import slabs, sparse_start
from hip_attention.torch_backend.select import select as torch_select
from hip_attention.torch_backend.summaries import KeySummaries
from torch import Tensor
from triton import TritonError

from hipcli.benchmark.data import Shape, make_data
from hipcli.benchmark.methods import select_all
from hipcli.benchmark.timing import milliseconds

CONFIGS = {
    **{
        f"representative, b_k {size}": HipConfig(selector="representative", block_q=64, block_k=size)
        for size in (2, 4, 8, 16)
    },
    "summary, b_k 16": HipConfig(selector="summary", block_q=64),
    "summary-exact, b_k 16, the default": HipConfig(),
}


def in_torch(query: Tensor, key: Tensor, config: HipConfig) -> None:
    length = key.shape[2]
    summaries = KeySummaries(config.sink, config.block_k)
    if config.uses_summaries:
        summaries.extend(key[:, :, config.sink :])
    for slab in slabs(sparse_start(length, length, config), length, length, config.block_q):
        torch_select(query, slab, config, summaries, key)


def main(length: int) -> None:
    query, key, _ = make_data("random", length, Shape())
    rows: dict[str, dict[str, float | None]] = {}
    for name, config in CONFIGS.items():
        rows[name] = {}
        for way, run in (("triton", select_all), ("torch", in_torch)):
            try:
                rows[name][way] = milliseconds(partial(run, query, key, config))
            except TritonError as error:
                print(f"{name}, {way}: {error}", file=sys.stderr)
                rows[name][way] = None
        print(name, rows[name], flush=True)
        save(f"representative_{torch.cuda.get_device_name().split()[1].lower()}", {"tokens": length, "select_ms": rows})


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["131072"])[0]))
