"""Finding what was hidden in the user's files: one reading of a text, several questions, as `hip ask` would do it."""

import random
import re
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from hipcli.documents.document import Document, Page
from hipcli.engine.engine import Engine
from hipcli.engine.events import Event, Token
from hipcli.errors import ExitCode, HipError
from hipcli.evaluation.corpus import Corpus
from hipcli.evaluation.needles import GROUPS, Needle, Puzzle, Question, puzzle
from hipcli.evaluation.scoring import found
from hipcli.evaluation.specs import Spec
from hipcli.evaluation.subject import Subject
from hipcli.evaluation.units import Outcome, Unit

_SPARE = 8  # tokens an answer may take beyond the model answer
_UNFINISHED = re.compile(r"\w+$")  # a last word that may still grow: 12 may become 123


@dataclass(frozen=True)
class Task:
    """A prompt as token ids: what all questions share, and each question up to its answer's first words."""

    prefix: list[int]
    suffixes: list[list[int]]
    limits: list[int]  # tokens an answer may take
    puzzle: Puzzle

    @property
    def tokens(self) -> int:
        """Of the longest prompt with its answer."""
        return len(self.prefix) + max(len(s) + limit for s, limit in zip(self.suffixes, self.limits, strict=True))


def units(
    corpus: Corpus, fingerprint: str, kinds: Sequence[str], contexts: Sequence[int], n: int, seed: int
) -> list[Unit]:
    """At least `n` questions of every kind at every length; prompt and answer together take just that many tokens."""

    def unit(kind: str, context: int, number: int, of: int) -> Unit:
        def run(subject: Subject, spec: Spec) -> Outcome:
            return ask(subject, spec, build(subject, corpus, kind, context, seed, number, of))

        return Unit("needle", kind, context, number, seed, {"files": fingerprint, "of": of}, run)

    counts = {kind: n if kind == "single" else -(-n // GROUPS) for kind in kinds}
    return [
        unit(kind, context, number, count)
        for context in contexts
        for kind, count in counts.items()
        for number in range(count)
    ]


def build(subject: Subject, corpus: Corpus, kind: str, context: int, seed: int, number: int, of: int) -> Task:
    """Prompt `number` of `of` of a kind, of at most `context` tokens and less than a sentence short of it."""
    made = puzzle(kind, seed, number, of, corpus.text)
    first = random.Random(f"{seed} {context} {number}").random()
    room = context - _task(subject, hide(made.needles, []), made).tokens
    if room <= 0:
        raise HipError(f"eval: --context {context} has no room for {kind}", "take a longer --context", ExitCode.USAGE)
    sentences = corpus.passage(first, room)
    while True:
        task = _task(subject, hide(made.needles, sentences), made)
        if task.tokens <= context:
            return task
        # Tokens can differ where sentences meet.
        sentences.pop()


def hide(needles: Sequence[Needle], sentences: Sequence[str]) -> str:
    """The sentences with every needle between two of them, where its depth says in characters."""
    total = sum(map(len, sentences))
    parts: list[str] = []
    passed = 0
    waiting = list(needles)
    for sentence in sentences:
        # At the end of the sentence or at its beginning, whichever is nearer.
        while waiting and waiting[0].depth * total <= passed + len(sentence) / 2:
            parts.append(waiting.pop(0).text + " ")
        parts.append(sentence)
        passed += len(sentence)
    parts += [f" {needle.text}" for needle in waiting]
    return "".join(parts)


def ask(subject: Subject, spec: Spec, task: Task) -> Outcome:
    """Read the prompt once, answer every question greedily, and score what is found."""
    exact, share, answers = [], [], []
    depths: list[float] = []
    hits: list[int] = []
    engine = subject.engine(spec, task.tokens)
    for _ in engine.read(task.prefix):
        pass
    for question, suffix, limit in zip(task.puzzle.questions, task.suffixes, task.limits, strict=True):
        answers.append(_answer(engine, suffix, limit, question))
        marks = [found(answers[-1], expected.text) for expected in question.expected]
        exact.append(float(all(marks)))
        share.append(sum(marks) / len(marks))
        for expected, mark in zip(question.expected, marks, strict=True):
            if expected.depth is not None:
                depths.append(round(expected.depth, 4))
                hits.append(int(mark))
    return Outcome({"exact": exact, "share": share}, {"depths": depths, "hits": hits, "answers": answers})


def _answer(engine: Engine, suffix: list[int], limit: int, question: Question) -> str:
    """The answer's text, up to where all that is expected has been said; a single thing fills one line at most."""
    text = ""
    one_line = len(question.expected) == 1
    with closing(cast(Generator[Event], engine.answer(suffix, limit))) as events:
        for event in events:
            if isinstance(event, Token):
                text += event.text
                said = _UNFINISHED.sub("", text)
                if (one_line and "\n" in text.lstrip()) or all(
                    found(said, expected.text) for expected in question.expected
                ):
                    break
    return text.strip()


def _task(subject: Subject, text: str, made: Puzzle) -> Task:
    documents = [Document("document.txt", "text", (Page(1, text),), "")]
    encoder, prompt = subject.encoder, subject.prompt
    return Task(
        encoder.prefix(prompt.documents(documents)),
        [
            [*encoder.suffix(prompt.question(documents, question.text)), *encoder.text(question.opening)]
            for question in made.questions
        ],
        [len(encoder.text(f" {question.model_answer}.")) + _SPARE for question in made.questions],
        made,
    )
