"""Prefill and decode of hip against transformers with SDPA and DynamicCache, in one process, turn by turn.

python bench/cpu_speed.py ../shared/data/books/middlemarch.txt --context 8000
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
    options = parser.parse_args()
    stock, tokenizer = load(options.model, options.dtype, "sdpa")
    ours, _ = load(options.model, options.dtype, "hip")
    ids = tokens(tokenizer, options.text, options.context)
    times: dict[str, list[tuple[float, float]]] = {"transformers": [], "hip": []}
    for _ in range(options.repeat):
        times["transformers"].append(run_transformers(stock, ids, options.new))
        times["hip"].append(run_hip(ours, tokenizer, HipConfig(), ids, options.new))
    rows = {}
    for name, runs in times.items():
        prefill, decode = (statistics.median(run[i] for run in runs) for i in (0, 1))
        rates = {"prefill_tok_s": options.context / prefill, "decode_tok_s": options.new / decode}
        rows[name] = rates
        print(f"{name:14s} prefill {rates['prefill_tok_s']:8.1f} tok/s   decode {rates['decode_tok_s']:6.2f} tok/s")
    ratio = {key: rows["hip"][key] / rows["transformers"][key] for key in rows["hip"]}
    print(f"{'ratio':14s} prefill {ratio['prefill_tok_s']:8.2f}         decode {ratio['decode_tok_s']:6.2f}")
    print(machine())
    name = f"cpu_speed_{options.context}_{str(ours.dtype).removeprefix('torch.')}"
    save(name, {"context": options.context, "repeat": options.repeat, "medians": rows, "ratio": ratio, "times": times})


if __name__ == "__main__":
    main()
