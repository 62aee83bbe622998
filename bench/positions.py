"""Perplexity of a stretch of a book far beyond the trained window, by how positions and keys are chosen.

    python bench/positions.py ../shared/data/books/middlemarch.txt --start 12288 --stop 16384 --top-k 1024 2048

The same tokens are scored every time: `hip` and `streaming` (as many keys, but none selected) at packed positions given
everything before them, `exact` as hip at true positions, and `cut`: dense attention given only preceding tokens that
fit. Lists of settings are combined; results are added to those in bench/results/.
"""

import argparse
import json
import math
import time
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from unittest.mock import patch

import torch
from common import RESULTS, load, machine, save, tokens
from hip_attention import HipConfig
from hip_attention.transformers import HipCache, attach_rotary, detach_rotary
from perplexity import losses

PIECE = 1024  # tokens that share one cut prompt


def packed(model, ids: list[int], start: int, config: HipConfig, factor: int) -> torch.Tensor:
    """HiP attention whose first, else dense, layers select `factor` times as many keys past the window."""
    cache = HipCache(model.config, config, len(ids), detach_rotary(model, len(ids), config.packed_from))
    for layer in cache.layers[: config.dense_layers]:
        layer.cache.config = replace(config, top_k=config.top_k * factor)
    return losses(model, ids, start, cache)


def cut(model, ids: list[int], start: int, context: int) -> torch.Tensor:
    """Dense attention; each token is given at least `context` of those before it and at most PIECE more."""
    attach_rotary(model)
    parts = []
    for begin in range(start, len(ids) - 1, PIECE):
        part = ids[begin - context : begin + PIECE + 1]
        parts.append(losses(model, part, context, HipCache(model.config, HipConfig(backend="dense"), len(part))))
    return torch.cat(parts)


def measure(options: argparse.Namespace, model, ids: list[int]) -> None:
    packed_from = options.packed_from or model.config.max_position_embeddings
    name = f"positions_{(options.model or 'default').replace('/', '_')}_{options.start}_{options.stop}"
    path = RESULTS / f"{name}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    for setting in settings(options, packed_from):
        if setting["name"] in rows:
            continue
        begin = time.perf_counter()
        if "cut" in setting:
            loss = cut(model, ids, options.start, setting["cut"])
        else:
            config, distance = setting["config"], setting["distance"]
            search = patch.object(HipConfig, "search_distance", distance) if distance else patch.dict({}, {})
            with search:
                loss = packed(model, ids, options.start, config, setting["factor"])
        row = {
            "perplexity": loss.mean().exp().item(),
            "nats": loss.mean().item(),
            "standard_error": (loss.std() / math.sqrt(len(loss))).item(),
            "seconds": time.perf_counter() - begin,
        }
        if "config" in setting:
            row["config"] = asdict(setting["config"])
        rows[setting["name"]] = row
        print(f"{setting['name']:72s} {row['perplexity']:8.3f}  {row['seconds']:.0f} s", flush=True)
        save(name, {"text": options.text.name, "tokens": len(loss), "packed_from": packed_from, "rows": rows})


def settings(options: argparse.Namespace, packed_from: int) -> list[dict]:
    found: list[dict] = [{"name": f"cut to {context}", "cut": context} for context in options.cut]
    for kind, k, window in product(options.attention, options.top_k, options.window):
        config = HipConfig(top_k=k, window=window, packed_from=packed_from)
        if kind == "streaming":
            config = replace(config, top_k=0, window=window + k)
            found.append({"name": f"streaming {config.visible_keys}", "config": config, "distance": None, "factor": 1})
        elif kind == "exact":
            config = replace(config, packed_from=None)
            found.append({"name": f"exact k={k} w={window}", "config": config, "distance": None, "factor": 1})
        else:
            lists = options.selector, options.distance, options.dense_layers, options.factor
            for selector, distance, layers, factor in product(*lists):
                name = (
                    f"hip k={k} w={window} {selector} distance={distance or 'default'} first {layers} layers x{factor}"
                )
                config = replace(config, selector=selector, dense_layers=layers)
                found.append({"name": name, "config": config, "distance": distance, "factor": factor})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--start", type=int, default=12288)
    parser.add_argument("--stop", type=int, default=16384)
    parser.add_argument("--packed-from", type=int, help="where packing begins; by default the trained window")
    parser.add_argument("--attention", nargs="*", choices=["hip", "streaming", "exact"], default=["hip", "streaming"])
    parser.add_argument("--top-k", type=int, nargs="+", default=[1024])
    parser.add_argument("--window", type=int, nargs="+", default=[HipConfig.window])
    parser.add_argument("--selector", nargs="+", default=[HipConfig.selector])
    parser.add_argument(
        "--distance", type=int, nargs="+", default=[None], help="of every query to every key in a search"
    )
    parser.add_argument("--dense-layers", type=int, nargs="+", default=[HipConfig.dense_layers])
    parser.add_argument(
        "--factor", type=int, nargs="+", default=[1], help="keys that dense layers select there, times --top-k"
    )
    parser.add_argument("--cut", type=int, nargs="*", default=[], help="preceding tokens of a dense prompt")
    options = parser.parse_args()
    model, tokenizer = load(options.model, options.dtype)
    print(machine())
    measure(options, model, tokens(tokenizer, options.text, options.stop))


if __name__ == "__main__":
    main()
