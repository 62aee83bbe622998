"""Prefill and decode of hip against transformers with SDPA and DynamicCache, in one process, turn by turn.

python bench/cpu_speed.py ../shared/data/books/middlemarch.txt --context 8000

Beyond the trained window hip packs positions, as `hip ask` does; transformers attends at true ones, which takes the
same time whatever comes out.
"""

import argparse
import statistics
from pathlib import Path

import torch
from common import load, machine, save, seconds, tokens
from hip_attention import HipConfig
from transformers import DynamicCache

from hipcli.engine import Engine
from hipcli.events import Done


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


def run_hip(model, tokenizer, config: HipConfig, ids: list[int], new: int) -> tuple[float, float]:
    engine = Engine(model, tokenizer, config, capacity=len(ids) + new + 8)
    engine._stop = set()
    prefill = seconds(lambda: list(engine.read(ids[:-1])))
    done = next(event for event in engine.answer(ids[-1:], new + 1) if isinstance(event, Done))
    return prefill + done.prefill_s, done.decode_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--context", type=int, default=8000)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--selector", nargs="+", default=[HipConfig.selector])
    options = parser.parse_args()
    stock, tokenizer = load(options.model, options.dtype, "sdpa")
    ours, _ = load(options.model, options.dtype, "hip")
    ids = tokens(tokenizer, options.text, options.context)
    window = ours.config.max_position_embeddings
    packed_from = window if options.context + options.new > window else None
    times: dict[str, list[tuple[float, float]]] = {}
    for _ in range(options.repeat):
        times.setdefault("transformers", []).append(run_transformers(stock, ids, options.new))
        for selector in options.selector:
            config = HipConfig(selector=selector, packed_from=packed_from)
            times.setdefault(f"hip {selector}", []).append(run_hip(ours, tokenizer, config, ids, options.new))
    rows = {}
    for name, runs in times.items():
        prefill, decode = (statistics.median(run[i] for run in runs) for i in (0, 1))
        rates = {"prefill_tok_s": options.context / prefill, "decode_tok_s": options.new / decode}
        rows[name] = rates
        rates |= {f"{key} ratio": rates[key] / rows.get("transformers", rates)[key] for key in tuple(rates)}
        print(f"{name:20s}", "   ".join(f"{key} {value:.2f}" for key, value in rates.items()))
    print(machine())
    name = f"cpu_speed_{options.context}_{str(ours.dtype).removeprefix('torch.')}"
    facts = {"context": options.context, "repeat": options.repeat, "packed_from": packed_from}
    save(name, {**facts, "medians": rows, "times": times})


if __name__ == "__main__":
    main()
