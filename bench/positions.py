"""Perplexity of a stretch of a book far beyond the trained window, by how positions and keys are chosen.

    python bench/positions.py BOOK.txt --start 12288 --stop 16384 --cut 6144 -a hip -a hip:top_k=2048 -a streaming

The same tokens are scored every time: by every setting of `-a`, as `hip eval` takes them, given everything before
them at packed positions, or with `factor=N` at positions stretched by YaRN, and by `--cut`: dense attention given only
preceding tokens that fit. Results are added to those in bench/results/.
"""

import argparse
import json
import math
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import patch

import torch
from common import RESULTS, machine, save, tokens
from hip_attention.config import HipConfig
from perplexity import losses_after
from torch import Tensor

from hipcli.evaluation.specs import Spec, parse
from hipcli.evaluation.subject import Subject
from hipcli.models.resolve import resolve

PIECE = 1024  # tokens that share one cut prompt


def sparse(subject: Subject, ids: list[int], start: int, spec: Spec, factor: int) -> Tensor:
    """Attention by `spec`; its first, else dense, layers select `factor` times as many keys at packed positions."""
    context = subject.context(spec, len(ids))
    for layer in context.cache.layers[: spec.config.dense_layers]:
        layer.config = replace(layer.config, top_k=layer.config.top_k * factor)
    return losses_after(start, ids, subject, context)


def cut(subject: Subject, ids: list[int], start: int, context: int) -> Tensor:
    """Dense attention; each token is given at least `context` of those before it and at most PIECE more."""
    parts = [ids[begin - context : begin + PIECE + 1] for begin in range(start, len(ids) - 1, PIECE)]
    dense = parse("dense")
    return torch.cat([losses_after(context, part, subject, subject.context(dense, len(part))) for part in parts])


def measure(options: argparse.Namespace, subject: Subject, ids: list[int]) -> None:
    packed_from = options.packed_from or subject.window
    name = f"positions_{(options.model or 'default').replace('/', '_')}_{options.start}_{options.stop}"
    path = RESULTS / f"{name}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    if options.true_positions:
        packed_from = None
    variants = " true positions" * options.true_positions
    variants += f" distance={options.distance}" * bool(options.distance) + f" x{options.factor}" * (options.factor > 1)
    for setting in [*(f"cut to {context}" for context in options.cut), *options.attention]:
        key = setting if setting.startswith("cut") else setting + variants
        if key in rows:
            continue
        begin = time.perf_counter()
        if setting.startswith("cut"):
            loss, config = cut(subject, ids, options.start, int(setting.split()[-1])), None
        else:
            spec = parse(setting)
            config = replace(spec.config, packed_from=None if spec.yarn else packed_from)
            distance = patch.object(HipConfig, "search_distance", options.distance)
            with distance if options.distance else nullcontext():
                loss = sparse(subject, ids, options.start, replace(spec, config=config), options.factor)
        rows[key] = {
            "perplexity": loss.mean().exp().item(),
            "nats": loss.mean().item(),
            "standard_error": (loss.std() / math.sqrt(len(loss))).item(),
            "seconds": time.perf_counter() - begin,
            **({"config": asdict(config)} if config else {}),
        }
        print(f"{key:72s} {rows[key]['perplexity']:8.3f}  {rows[key]['seconds']:.0f} s", flush=True)
        save(name, {"text": options.text.name, "tokens": len(loss), "packed_from": packed_from, "rows": rows})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--start", type=int, default=12288)
    parser.add_argument("--stop", type=int, default=16384)
    parser.add_argument("--packed-from", type=int, help="where packing begins; by default the trained window")
    parser.add_argument("--true-positions", action="store_true", help="pack nothing")
    parser.add_argument("-a", "--attention", action="append", default=[], metavar="SPEC", help="as in hip eval")
    parser.add_argument("--distance", type=int, help="of every query to every key in a search")
    parser.add_argument("--factor", type=int, default=1, help="keys the first, else dense, layers select, times top_k")
    parser.add_argument("--cut", type=int, nargs="*", default=[], help="preceding tokens of a dense prompt")
    options = parser.parse_args()
    subject = Subject(resolve(options.model, print), dtype=options.dtype)
    print(machine(), subject.loaded.because)  # loads the model before time is taken
    measure(options, subject, tokens(subject.tokenizer, options.text, options.stop))


if __name__ == "__main__":
    main()
