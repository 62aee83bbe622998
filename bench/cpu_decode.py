"""Decode of hip against transformers with SDPA and DynamicCache, in one process, taking turns every few tokens.

    GOMP_SPINCOUNT=1000 python bench/cpu_decode.py --context 32000 --dtype float32 --layers 3

A busy machine changes its speed within the minutes that lie between the two in cpu_speed.py. Here nothing is read: both
caches are filled with random keys and values, and what decode takes depends on their number alone. With --layers N
transformers runs through its first N layers, and the time of these, without that of the head, is multiplied.
"""

import argparse
import statistics

import torch
from common import load, load_transformers, save, seconds
from transformers import DynamicCache

from hipcli.engine.engine import Engine
from hipcli.evaluation.specs import parse
from hipcli.models.resolve import resolve, shape
from hipcli.planning.positions import place

TOKEN = 5


def drawn(model, context: int) -> list[dict[str, torch.Tensor]]:
    """Keys and values of a text, a layer each."""
    config = model.config
    size = (1, config.num_key_value_heads, context, model.model.layers[0].self_attn.head_dim)
    return [{name: torch.randn(size).to(model.dtype) for name in ("key", "value")} for _ in model.model.layers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--context", type=int, default=32000)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=8, help="a turn; as many as hip decodes between two searches")
    parser.add_argument("--layers", type=int, help="of transformers that are run")
    options = parser.parse_args()
    torch.manual_seed(0)
    stock = load_transformers(options.model, options.dtype)
    ours, tokenizer = load(options.model, options.dtype)
    layers = len(stock.model.layers)
    kept = drawn(stock, options.context)
    stock.model.layers = stock.model.layers[: options.layers]
    cache = DynamicCache(config=stock.config)
    for i, tokens in enumerate(kept[: len(stock.model.layers)]):
        cache.update(tokens["key"], tokens["value"], i)
    capacity = options.context + options.tokens * (options.turns + 1)
    sizes = shape(resolve(options.model, print))
    config, yarn = place(parse("hip").config, "auto", capacity, sizes, frozenset(("top_k", "window")))
    engine = Engine(ours, tokenizer, config, capacity=capacity, yarn=yarn)
    engine.restore(kept)

    @torch.inference_mode()
    def head() -> None:
        hidden = torch.randn(1, 1, stock.config.hidden_size).to(stock.dtype)
        for _ in range(options.tokens):
            stock.lm_head(hidden)

    @torch.inference_mode()
    def by_transformers() -> None:
        for _ in range(options.tokens):
            stock(torch.tensor([[TOKEN]]), past_key_values=cache, use_cache=True, logits_to_keep=1)

    def by_hip() -> None:
        for _ in range(options.tokens):
            engine.context.decode(TOKEN)

    ways = {"head": head, "transformers": by_transformers, "hip": by_hip}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.turns + 1):
        for name, run in ways.items():
            took = seconds(run) / options.tokens
            if turn:  # the first one warms up
                times[name].append(took)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    scale = layers / len(stock.model.layers)
    medians["transformers"] = (medians["transformers"] - medians["head"]) * scale + medians["head"]
    for name in ("transformers", "hip"):
        print(f"{name:14s} {1e3 * medians[name]:7.1f} ms a token, {1 / medians[name]:5.1f} tok/s")
    print(f"{medians['transformers'] / medians['hip']:.2f} x")
    result = {"context": options.context, "layers": len(stock.model.layers), "seconds_a_token": medians, "times": times}
    save(f"cpu_decode_{options.context}_{str(ours.model.dtype).removeprefix('torch.')}", result)


if __name__ == "__main__":
    main()
