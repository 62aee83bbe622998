"""Questions about whole documents, from a JSON Lines file: multiple choice, short answers, summaries."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from hipcli.documents.document import Document
from hipcli.documents.inputs import read_or_raise
from hipcli.engine.events import Token
from hipcli.errors import ExitCode, HipError
from hipcli.evaluation.scoring import Rouge, contains, exact_match, token_f1
from hipcli.evaluation.specs import Spec
from hipcli.evaluation.subject import Subject
from hipcli.evaluation.units import Outcome, Unit

SUMMARY = "summary"
ANSWER_TOKENS = {SUMMARY: 320}
SHORT_ANSWER = 96
_OPENING = "The answer is option"


@dataclass(frozen=True)
class Item:
    """One question of the file. `options` by letter, with `letter` the right one, make it multiple choice."""

    id: str
    document: Path
    kind: str
    question: str
    answers: tuple[str, ...]
    options: dict[str, str]
    letter: str | None
    page: int | None = None  # that the answer stands on, from 1
    evidence: str | None = None  # words that stand where the answer does


@dataclass(frozen=True)
class Skipped:
    """Questions left out, whole, because their document does not fit."""

    document: str
    questions: int
    tokens: int


def load(path: Path) -> list[Item]:
    """The questions of a JSON Lines file; document_path counts from its folder. Raises HipError naming the line."""
    items = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            raw: dict[str, Any] = json.loads(line)
            items.append(
                Item(
                    str(raw["id"]), path.parent / raw["document_path"], str(raw["type"]), str(raw["question"]),
                    tuple(map(str, raw["answers"])), dict(raw.get("options") or {}), raw.get("answer_letter"),
                    raw.get("page"), raw.get("evidence"),
                )
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            hint = "a line has id, document_path, question, answers and type; multiple choice options and answer_letter"
            raise HipError(f"{path}: line {number}: no question: {error}", hint, ExitCode.USAGE) from error
    return items


def units(
    items: Sequence[Item], summaries: bool, context: int, n: int | None, seed: int, subject: Subject
) -> tuple[list[Unit], list[Skipped]]:
    """A unit for every document and type of question; all about summaries, or all but them.

    `n` questions are drawn by `seed`, None takes all. Documents whose prompt and answer exceed `context` tokens are
    skipped. Raises HipError where a document cannot be read.
    """
    chosen = [item for item in items if (item.kind == SUMMARY) == summaries]
    rouge = None if all(item.options for item in chosen) else Rouge()
    made: list[Unit] = []
    skipped = []
    for number, (kind, path, group) in enumerate(grouped(chosen, n, seed)):
        document = read(path)
        tokens = _Prompt(subject, document, group).tokens
        if tokens > context:
            skipped.append(Skipped(path.name, len(group), tokens))
            continue
        inputs = {"document": document.sha256, "questions": [item.id for item in group]}
        task = SUMMARY if summaries else "qa"
        made.append(Unit(task, kind, tokens, number, seed, inputs, _Run(document, group, rouge)))
    return made, skipped


def grouped(items: Sequence[Item], n: int | None, seed: int) -> list[tuple[str, Path, list[Item]]]:
    """Questions by type and document; `n` of them, drawn by `seed`, None takes all."""
    if n is not None and n < len(items):
        kept = set(random.Random(seed).sample(range(len(items)), n))
        items = [item for i, item in enumerate(items) if i in kept]
    groups: dict[tuple[str, Path], list[Item]] = {}
    for item in items:
        groups.setdefault((item.kind, item.document), []).append(item)
    return [(kind, path, group) for (kind, path), group in groups.items()]


@dataclass(frozen=True)
class _Run:
    """Asks the questions of one document."""

    document: Document
    items: list[Item]
    rouge: Rouge | None

    def __call__(self, subject: Subject, spec: Spec) -> Outcome:
        prompt = _Prompt(subject, self.document, self.items)
        if self.rouge is None or self.items[0].options:
            return _choose(subject, spec, prompt, self.items)
        return _write(subject, spec, prompt, self.items, self.rouge)


class _Prompt:
    """Token ids of one document and the questions about it."""

    def __init__(self, subject: Subject, document: Document, items: Sequence[Item]) -> None:
        encoder, prompt = subject.encoder, subject.prompt
        self.prefix = encoder.prefix(prompt.documents([document]))
        self.suffixes = [
            [*encoder.suffix(prompt.question([document], asked(item))), *encoder.text(_OPENING if item.options else "")]
            for item in items
        ]
        self.limit = ANSWER_TOKENS.get(items[0].kind, SHORT_ANSWER)

    @property
    def tokens(self) -> int:
        """Of the longest prompt with its answer."""
        return len(self.prefix) + max(map(len, self.suffixes)) + self.limit


def asked(item: Item) -> str:
    """The question as it is put, with its options if it has any."""
    if not item.options:
        return item.question
    options = "\n".join(f"{letter}. {text}" for letter, text in item.options.items())
    return f"{item.question}\n{options}\nAnswer with the letter of the right option."


def _choose(subject: Subject, spec: Spec, prompt: _Prompt, items: Sequence[Item]) -> Outcome:
    """The option whose letter is the likeliest next token after "The answer is option"."""
    correct, probability, chosen = [], [], []
    context = subject.context(spec, prompt.tokens)
    # As the engine does: the last, incomplete query block is read with each question.
    whole = len(prompt.prefix) // spec.config.block_q * spec.config.block_q
    context.hidden(prompt.prefix[:whole])
    for item, suffix in zip(items, prompt.suffixes, strict=True):
        hidden = context.hidden([*prompt.prefix[whole:], *suffix], question=True)[-1:]
        context.truncate(whole)
        letters = {letter: subject.encoder.text(f" {letter}")[-1] for letter in item.options}
        likelihood = _likelihood(subject, hidden, list(letters.values()))
        best = max(zip(likelihood, letters, strict=True))[1]
        chosen.append(best)
        correct.append(float(best == item.letter))
        probability.append(round(likelihood[list(letters).index(str(item.letter))], 4))
    columns = {"correct": correct, "probability": probability}
    return Outcome(columns, {"ids": [item.id for item in items], "answers": chosen})


def _likelihood(subject: Subject, hidden: torch.Tensor, tokens: list[int]) -> list[float]:
    """Probability of each of `tokens` among them, after hidden [1, hidden]."""
    logits = next(subject.logits(hidden))[0]
    return [float(each) for each in logits[tokens].softmax(0)]


def _write(subject: Subject, spec: Spec, prompt: _Prompt, items: Sequence[Item], rouge: Rouge) -> Outcome:
    """Answers as `hip ask` writes them, greedily."""
    answers = []
    engine = subject.engine(spec, prompt.tokens)
    for _ in engine.read(prompt.prefix):
        pass
    for suffix in prompt.suffixes:
        events = engine.answer(suffix, prompt.limit)
        answers.append("".join(event.text for event in events if isinstance(event, Token)).strip())
    scores: dict[str, Callable[[str, Sequence[str]], float]] = {"rouge_l": rouge}
    if items[0].kind != SUMMARY:
        scores = {"exact": exact_match, "contains": contains, "f1": token_f1, **scores}
    columns = {
        name: [round(score(answer, item.answers), 4) for answer, item in zip(answers, items, strict=True)]
        for name, score in scores.items()
    }
    return Outcome(columns, {"ids": [item.id for item in items], "answers": answers})


@cache
def read(path: Path) -> Document:
    """The document at `path`. Raises HipError where it cannot be read."""
    return read_or_raise([str(path)])[0]
