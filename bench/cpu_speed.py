"""Prefill and decode of hip against transformers with SDPA and DynamicCache, in one process, turn by turn.

    python bench/cpu_speed.py BOOK.txt --context 8000 -a hip -a hip:selector=summary,block_q=64

Past the model's window positions are packed or stretched, as `hip` does it. With --layers N transformers runs through
its first N layers alone, and its times are multiplied accordingly: dense attention over 100,000 tokens takes long. That
makes its decode seem slower than it is, by the time of the head.
"""

import argparse
import statistics
from pathlib import Path

import torch
from common import endless, load, load_transformers, machine, save, seconds, tokens
from transformers import DynamicCache

from hipcli.engine.engine import Engine
from hipcli.engine.events import Done
from hipcli.evaluation.specs import Spec, parse
from hipcli.models.resolve import ModelShape, resolve, shape
from hipcli.planning.positions import place, stretch


@torch.inference_mode()
def run_transformers(model, ids: list[int], new: int) -> tuple[float, float]:
    """Seconds of prefill, and of decoding `new` tokens after the first."""
    cache = DynamicCache(config=model.config)
    state = {"ids": torch.tensor([ids])}

    def step() -> None:
        logits = model(state["ids"], past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        state["ids"] = logits[:, -1].argmax(-1, keepdim=True)

    prefill = seconds(step)
    return prefill, seconds(lambda: [step() for _ in range(new)])


def run_hip(loaded, tokenizer, sizes: ModelShape, spec: Spec, ids: list[int], new: int) -> tuple[float, float]:
    capacity = len(ids) + new + 8
    if spec.yarn is None:
        unasked = frozenset(name for name in ("top_k", "window") if f"{name}=" not in spec.text)
        hip, yarn = place(spec.config, "auto", capacity, sizes, unasked)
    else:
        hip, yarn = spec.config, stretch(sizes, spec.yarn)
    engine = Engine(endless(loaded), tokenizer, hip, capacity=capacity, yarn=yarn, int8=spec.int8)
    prefill = seconds(lambda: list(engine.read(ids[:-1])))
    done = next(event for event in engine.answer(ids[-1:], new + 1) if isinstance(event, Done))
    return prefill + done.prefill_s, done.decode_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--context", type=int, default=8000)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("-a", "--attention", action="append", metavar="SPEC", help="as in hip eval; by default hip")
    parser.add_argument("--layers", type=int, help="of transformers that are run")
    options = parser.parse_args()
    stock = load_transformers(options.model, options.dtype)
    ours, tokenizer = load(options.model, options.dtype)
    ids = tokens(tokenizer, options.text, options.context)
    layers = len(stock.model.layers)
    if options.layers:
        stock.model.layers = stock.model.layers[: options.layers]
    specs = [parse(text) for text in options.attention or ["hip"]]
    sizes = shape(resolve(options.model, print))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ("transformers", *(s.text for s in specs))}
    for _ in range(options.repeat):
        prefill, decode = run_transformers(stock, ids, options.new)
        scale = layers / len(stock.model.layers)
        times["transformers"].append((prefill * scale, decode * scale))
        for spec in specs:
            times[spec.text].append(run_hip(ours, tokenizer, sizes, spec, ids, options.new))
    rows = {}
    for name, runs in times.items():
        prefill, decode = (statistics.median(run[i] for run in runs) for i in (0, 1))
        row = {"prefill_tok_s": options.context / prefill, "decode_tok_s": options.new / decode}
        rows[name] = row
        line = f"{name:40s}"
        for key, rate in row.items():
            line += f"  {key} {rate:8.1f}, {rate / rows['transformers'][key]:5.2f} x"
        print(line)
    print(machine())
    name = f"cpu_speed_{options.context}_{str(ours.model.dtype).removeprefix('torch.')}"
    layers_run = options.layers or layers
    save(
        name,
        {"context": options.context, "repeat": options.repeat, "layers": layers_run, "medians": rows, "times": times},
    )


if __name__ == "__main__":
    main()
