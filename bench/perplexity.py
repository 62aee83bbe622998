"""Perplexity of the last quarter of long stretches of a book, dense against every way to choose keys.

    python bench/perplexity.py ../shared/data/books/middlemarch.txt --context 7680 --stretches 3

Beside each perplexity stands the mean difference of the tokens' negative log-likelihood to dense attention, in nats,
with its standard error over the same tokens.
"""

import argparse
import math
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from common import machine, save, tokens
from hip_attention.config import HipConfig
from torch import Tensor

from hipcli.engine.prefill import Context
from hipcli.evaluation.perplexity import last_quarter, losses
from hipcli.evaluation.specs import Spec
from hipcli.evaluation.subject import Subject
from hipcli.models.resolve import resolve


def losses_after(start: int, ids: list[int], subject: Subject, context: Context) -> Tensor:
    """Negative log-likelihood of each token after position `start`, given all before it; fills the empty `context`."""
    return losses(subject, context.hidden(ids)[start:-1], ids)


def settings(budgets: list[int], dense_layers: list[int]) -> dict[str, HipConfig]:
    base = HipConfig(min_context=0, selector="summary", block_q=64)
    chosen = {"dense": replace(base, backend="dense")}
    for layers in dense_layers:
        for k in budgets:
            config = replace(base, top_k=k, dense_layers=layers)
            tag = f"k={k} dense_layers={layers}"
            chosen[f"hip summary {tag}"] = config
            chosen[f"hip summary, every row scored {tag}"] = replace(config, query_stride=1)
            chosen[f"hip representative (centre) {tag}"] = replace(config, selector="representative")
            chosen[f"hip representative, b_k 2 {tag}"] = replace(config, selector="representative", block_k=2)
            chosen[f"streaming {tag}"] = replace(config, top_k=0, window=config.window + k)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--context", type=int, default=7680)
    parser.add_argument("--stretches", type=int, default=3)
    parser.add_argument("--top-k", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--dense-layers", type=int, nargs="+", default=[HipConfig.dense_layers])
    parser.add_argument("--only", default="", help="run the settings whose name holds this, and dense")
    options = parser.parse_args()
    subject = Subject(resolve(options.model, print), dtype=options.dtype)
    count = options.context * options.stretches
    stretches = torch.tensor(tokens(subject.tokenizer, options.text, count)).view(options.stretches, -1).tolist()
    print(subject.loaded.because, flush=True)  # loads the model before time is taken
    rows, dense = {}, torch.empty(0)
    for name, config in settings(options.top_k, options.dense_layers).items():
        if name != "dense" and options.only not in name:
            continue
        begin = time.perf_counter()
        spec = Spec(name, "hip", config)
        loss = torch.cat(
            [losses_after(last_quarter(ids), ids, subject, subject.context(spec, len(ids))) for ids in stretches]
        )
        dense = loss if name == "dense" else dense
        difference = loss - dense
        error = (difference.std() / math.sqrt(len(loss))).item()
        rows[name] = {
            "perplexity": loss.mean().exp().item(),
            "nats_over_dense": difference.mean().item(),
            "standard_error": error,
            "seconds": time.perf_counter() - begin,
            "config": asdict(config),
        }
        row = rows[name]
        print(
            f"{name:54s} {row['perplexity']:8.3f}  {row['nats_over_dense']:+.4f} ± {error:.4f}  {row['seconds']:.0f} s",
            flush=True,
        )
    print(machine(), "tokens", len(dense))
    tag = (options.model or "default").replace("/", "_")
    result = {"text": options.text.name, "context": options.context, "tokens": len(dense), "rows": rows}
    save(f"perplexity_{tag}_{options.context}", result)


if __name__ == "__main__":
    main()
