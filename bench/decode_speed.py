"""Tokens a second that hip decodes after a long prompt, by attention, on whatever device the model lands on.

    python bench/decode_speed.py BOOK.txt --model MODEL --context 32000 -a hip -a hip:refresh_interval=2 -a dense

All settings share one loading of the model. Every answer has 65 tokens; the first answer of a setting captures
CUDA graphs, that of a process compiles kernels, too.
"""

import argparse
import time
from pathlib import Path

from common import endless, load, machine, save, tokens

from hipcli.engine.engine import Engine
from hipcli.engine.events import Done
from hipcli.evaluation.specs import parse
from hipcli.models.resolve import resolve, shape
from hipcli.planning.positions import stretch

QUESTION = 8  # last tokens of the text, which are read like a question
ANSWER = 65


def rates(engine: Engine, ids: list[int], repeat: int) -> tuple[float, list[float]]:
    """Seconds of reading all but a few of the tokens, and tokens a second of several answers after them."""
    begin = time.perf_counter()
    list(engine.read(ids[:-QUESTION]))
    list(engine.answer(ids[-QUESTION:], 1))  # waits for the device
    prefill = time.perf_counter() - begin
    answers = [list(engine.answer(ids[-QUESTION:], ANSWER)) for _ in range(repeat)]
    return prefill, [(ANSWER - 1) / event.decode_s for events in answers for event in events if isinstance(event, Done)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--context", type=int, default=32000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("-a", "--attention", action="append", metavar="SPEC", help="as in hip eval; by default hip")
    options = parser.parse_args()
    loaded, tokenizer = load(options.model)
    ids = tokens(tokenizer, options.text, options.context)
    sizes = shape(resolve(options.model, print))
    rows = {}
    for text in options.attention or ["hip"]:
        spec = parse(text)
        yarn = None if spec.yarn is None else stretch(sizes, spec.yarn)
        capacity = len(ids) + ANSWER + 8
        engine = Engine(
            endless(loaded), tokenizer, spec.config, capacity=capacity, yarn=yarn, int8=spec.int8
        )  # fmt: skip
        prefill, decode = rates(engine, ids, options.repeat)
        rows[text] = {"prefill_s": prefill, "decode_tok_s": decode}
        print(f"{text:40s} prefill {prefill:.2f} s, decode {', '.join(f'{rate:.1f}' for rate in decode)} tok/s")
    print(machine())
    save(f"decode_speed_{options.context}_{loaded.model.device.type}", {"context": options.context, "rows": rows})


if __name__ == "__main__":
    main()
