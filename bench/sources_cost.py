"""What --sources costs: decode with queries kept and without, alternately, and the sum of attention at the end.

python bench/sources_cost.py MODEL book.txt --contexts 8000,32000 --name NAME
"""

import argparse
from pathlib import Path
from statistics import median

from common import endless, load, save, tokens
from hip_attention.config import HipConfig

from hipcli.engine.engine import Engine
from hipcli.engine.events import Done
from hipcli.engine.watch import Watch

ANSWER = 128
PASSAGE = 30  # tokens
QUESTION = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text", type=Path)
    parser.add_argument("--contexts", default="8000")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--name", required=True, help="of the result")
    options = parser.parse_args()
    loaded, tokenizer = load(options.model)
    loaded = endless(loaded)
    found = {}
    for context in map(int, options.contexts.split(",")):
        ids = tokens(tokenizer, options.text, context + QUESTION, skip_characters=5_000)
        config = HipConfig(refresh_interval=2 if loaded.model.device.type == "cuda" else 8)
        engine = Engine(loaded, tokenizer, config, capacity=context + QUESTION + ANSWER)
        for _ in engine.read(ids[:context]):
            pass
        watch = Watch([(start, start + PASSAGE) for start in range(0, context - PASSAGE, PASSAGE)], 8, 5)
        seconds: dict[str, list[float]] = {"plain": [], "watched": [], "sum": []}
        for number in range(options.repeat + 1):
            for name, asked in (("plain", None), ("watched", watch)):
                done = list(engine.answer(ids[context:], ANSWER, asked))[-1]
                assert isinstance(done, Done)
                if number:  # the first one warms up
                    seconds[name].append(done.decode_s / done.completion_tokens)
                    if asked is not None:
                        seconds["sum"].append(done.watch_s)
        plain, watched, summed = (median(seconds[name]) for name in ("plain", "watched", "sum"))
        found[context] = {
            "decode_ms": round(1000 * plain, 3),
            "decode_watched_ms": round(1000 * watched, 3),
            "sum_ms": round(1000 * summed, 2),
            "share": round((ANSWER * (watched - plain) + summed) / (ANSWER * plain), 4),
        }
        print(context, found[context], flush=True)
        del engine
    save(f"sources_cost_{options.name}", {"model": loaded.name, "answer_tokens": ANSWER, "contexts": found})


if __name__ == "__main__":
    main()
