"""From how many tokens on a CPU reads sooner sparsely: attention of one layer to a whole prompt, for several models.

    GOMP_SPINCOUNT=1000 python bench/cpu_crossover.py 4096 8192 16384

Random data at true positions, read in chunks as hip reads; a sparse layer against a dense one.
"""

import argparse
import statistics

import torch
from common import machine, save, seconds
from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig
from hip_attention.rope import Rope
from hip_attention.rope_config import RopeConfig

from hipcli.engine.prefill import CHUNK_CPU

SHAPES = {"SmolLM2-135M": (9, 3, 64), "Qwen2.5-0.5B": (14, 2, 64), "Qwen2.5-1.5B": (12, 2, 128)}


@torch.inference_mode()
def read(shape: tuple[int, int, int], dtype: torch.dtype, length: int, dense: bool) -> float:
    heads, heads_k, dim = shape
    cache = LayerCache(HipConfig(min_context=0), length, Rope(RopeConfig(), dim, length), dense=dense)
    query = torch.randn(1, heads, CHUNK_CPU, dim, dtype=dtype)
    key = torch.randn(1, heads_k, CHUNK_CPU, dim, dtype=dtype)

    def chunk() -> None:
        cache.attend(query, key, key, Step(cache.length, CHUNK_CPU), scale=dim**-0.5)

    return seconds(lambda: [chunk() for _ in range(length // CHUNK_CPU)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lengths", type=int, nargs="+")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for name, shape in SHAPES.items():
        for dtype in (torch.bfloat16, torch.float32):
            for length in options.lengths:
                runs = [
                    (read(shape, dtype, length, True), read(shape, dtype, length, False)) for _ in range(options.repeat)
                ]
                dense, sparse = (statistics.median(times) for times in zip(*runs, strict=True))
                row = {"model": name, "dtype": str(dtype), "tokens": length, "dense_s": dense, "sparse_s": sparse}
                rows.append(row)
                times = f"dense {dense:.2f} s, sparse {sparse:.2f} s, {dense / sparse:.2f} x"
                print(f"{name:14s} {dtype} {length:7d}  {times}")
    print(machine())
    save("cpu_crossover", {"repeat": options.repeat, "rows": rows})


if __name__ == "__main__":
    main()
