"""How often answers loop, and how right they are, under penalties on what an answer repeats of itself.

    python bench/repetition.py --model MODEL --questions ../shared/data/qa.jsonl FILE...

Of every file a summary and two answers are written, of up to 300 tokens; of the questions, those with answers to be
written whose documents fit into --context tokens, by type. A text loops where more than three tenths of its words in
fours have stood in it before. Beside them, registers of payments that are to be copied, in which customers, places and
the beginnings of account numbers return: the share of lines that come out as they stand.
"""

import argparse
import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from common import load, machine, save
from torch import Tensor

from hipcli.documents.document import Document, Page
from hipcli.documents.inputs import read_documents, standard_input
from hipcli.documents.options import ReadOptions
from hipcli.engine.engine import Engine
from hipcli.engine.events import Done, Token
from hipcli.engine.repetition import Kind, Repetition
from hipcli.engine.sampling import Sampling
from hipcli.evaluation import questions, subject
from hipcli.evaluation.specs import parse
from hipcli.models.resolve import resolve, shape
from hipcli.planning.positions import place
from hipcli.prompt import templates
from hipcli.prompt.tokens import PromptEncoder


class Everywhere(Repetition):
    """Names and numbers are penalised, too."""

    def penalised(self, logits: Tensor, produced: Sequence[int], kind: Callable[[int], Kind]) -> Tensor:
        return super().penalised(logits, produced, lambda token: "word")


@dataclass(frozen=True)
class Used(Repetition):
    """Divides the logits of all tokens that the answer has used (arXiv 1909.05858, section 4.1)."""

    divisor: float = 1.1

    def penalised(self, logits: Tensor, produced: Sequence[int], kind: Callable[[int], Kind]) -> Tensor:
        tokens = torch.tensor(sorted(set(produced)), device=logits.device, dtype=torch.long)
        some = logits[:, tokens]
        return logits.index_copy(1, tokens, torch.where(some > 0, some / self.divisor, some * self.divisor))


WAYS = {
    "none": Repetition(dry=0),
    "used tokens / 1.1": Used(divisor=1.1),
    "used tokens / 1.2": Used(divisor=1.2),
    "DRY 0.8, passages of 2, names too": Everywhere(),
    "DRY 0.8, passages of 2": Repetition(),
    "DRY 0.8, passages of 4": Repetition(allowed=4),
    "DRY 0.8, passages of 8": Repetition(allowed=8),
}
QUESTIONS = ("What is this about?", "Who are the people or parties that are named, and what do they do?")
ANSWER = 300


def repeated(text: str) -> float:
    """Share of words in fours that have stood in the text before."""
    words = text.split()
    fours = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    return sum(count - 1 for count in fours.values()) / max(1, fours.total())


def written(
    options: argparse.Namespace, loaded, tokenizer, document: Document, ways: dict[str, Repetition]
) -> dict[str, list[dict]]:
    """By way, what became of a summary and two answers."""
    found: dict[str, list[dict]] = {way: [] for way in ways}
    for name, asked in (("summarize", (None,)), ("ask", QUESTIONS)):
        prompt = templates.load(name, {}, "medium" if name == "summarize" else None)
        encoder = PromptEncoder(tokenizer, prompt.system())
        prefix = encoder.prefix(prompt.documents([document]))
        capacity = len(prefix) + ANSWER + 200
        hip, yarn = place(parse("hip").config, "auto", capacity, shape(resolve(options.model, print)))
        engine = Engine(loaded, tokenizer, hip, capacity=capacity, yarn=yarn)
        list(engine.read(prefix))
        for question in asked:
            suffix = encoder.suffix(prompt.question([document], question))
            for way, repetition in ways.items():
                engine.sampling = Sampling(repetition=repetition)
                events = list(engine.answer(suffix, ANSWER))
                text = "".join(event.text for event in events if isinstance(event, Token))
                (done,) = [event for event in events if isinstance(event, Done)]
                found[way].append({
                    "file": document.path, "question": question, "text": text, "repeated": round(repeated(text), 3),
                    "tokens": done.completion_tokens, "finish": done.finish_reason, "decode_s": done.decode_s,
                })  # fmt: skip
    return found


def register(seed: int) -> list[str]:
    """Twelve payments of a few customers."""
    rng = random.Random(seed)
    accounts = ["".join(rng.choices("0123456789", k=18)) for _ in range(3)]
    customers = [
        "Todos Medical Ltd. & Co. KG, Hauptstr. 12, 10827 Berlin",
        "Care G. B. Plus Ltd., 5 Ha'Melacha St., Rehovot",
    ]
    return [
        f"{2040 + n} | {rng.choice(customers)} | DE{rng.choice(accounts)} | {rng.randrange(100, 999)}.00 EUR | paid"
        for n in range(12)
    ]


def copied(loaded, tokenizer, repetition: Repetition, count: int) -> float:
    """Share of lines of registers that an answer gives as they stand."""
    right = []
    for seed in range(count):
        lines = register(seed)
        document = Document("register.txt", "text", (Page(1, "\n".join(lines)),), "")
        prompt = templates.load("ask", {}, None)
        encoder = PromptEncoder(tokenizer, prompt.system())
        prefix = encoder.prefix(prompt.documents([document]))
        question = "Copy all twelve lines of the register exactly as they stand, one below the other."
        engine = Engine(loaded, tokenizer, parse("hip").config, Sampling(repetition=repetition), 4096)
        list(engine.read(prefix))
        events = engine.answer(encoder.suffix(prompt.question([document], question)), 1200)
        text = "".join(event.text for event in events if isinstance(event, Token))
        right += [line in text for line in lines]
    return statistics.mean(right)


def scores(options: argparse.Namespace, ways: dict[str, Repetition]) -> dict[str, dict[str, float]]:
    """By way, mean scores of the answers to questions."""
    items = [item for item in questions.load(options.questions) if not item.options]
    found = {}
    for way, repetition in ways.items():
        with patch.object(subject, "Sampling", lambda chosen=repetition: Sampling(repetition=chosen)):
            evaluated = subject.Subject(resolve(options.model, print))
            units = [
                unit
                for summaries in (False, True)
                for unit in questions.units(items, summaries, options.context, None, 0, evaluated)[0]
            ]
            if not units:
                raise SystemExit(f"no document fits into {options.context} tokens")
            columns: dict[str, list[float]] = {}
            for unit in units:
                for metric, values in unit.run(evaluated, parse("hip")).columns.items():
                    columns.setdefault(f"{unit.group} {metric}", []).extend(values)
        found[way] = {metric: round(statistics.mean(values), 4) for metric, values in columns.items()}
        found[way]["n"] = sum(len(values) for metric, values in columns.items() if metric.endswith(" f1"))
        print(way, found[way], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--model")
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--registers", type=int, default=6, help="to be copied")
    parser.add_argument("--way", action="append", choices=WAYS, help="by default all")
    options = parser.parse_args()
    ways = {way: WAYS[way] for way in options.way or WAYS}
    loaded, tokenizer = load(options.model)
    texts: dict[str, list[dict]] = {way: [] for way in ways}
    for document in read_documents(options.files, ReadOptions(), standard_input()) if options.files else ():
        for way, found in written(options, loaded, tokenizer, document, ways).items():
            texts[way] += found
    rows = {}
    for way, found in texts.items():
        rows[way] = {}
        if options.registers:
            rows[way]["copied"] = round(copied(loaded, tokenizer, ways[way], options.registers), 3)
        if found:
            rows[way] |= {
                "n": len(found),
                "loops": sum(each["repeated"] > 0.3 for each in found),
                "stopped for repetition": sum(each["finish"] == "repetition" for each in found),
                "ended by themselves": sum(each["finish"] == "stop" for each in found),
                "repeated": round(statistics.mean(each["repeated"] for each in found), 3),
                "tokens": statistics.mean(each["tokens"] for each in found),
                "ms a token": round(1e3 * sum(e["decode_s"] for e in found) / sum(e["tokens"] for e in found), 2),
            }
        print(way, rows[way], flush=True)
    name = Path(options.model or "default").stem
    result = {"rows": rows, "scores": scores(options, ways) if options.questions else {}, "texts": texts}
    save(f"repetition_{name}", result)
    print(machine())


if __name__ == "__main__":
    main()
