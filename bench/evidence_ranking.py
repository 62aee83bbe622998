"""Which attention ranks evidence best: rows, layers, heads, and the correction for what every question attracts.

    python bench/evidence_ranking.py MODEL questions.jsonl --name 1.5b

Asks the questions whose evidence is known (see `hip eval evidence`), keeps the queries of all layers, and ranks the
passages in every way that is compared. A cell is the share of questions with a passage of the evidence's page among
the first 1, 3 and 5. BM25 of the question over the same passages is what has to be beaten.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from common import save
from torch import Tensor

from hipcli.documents.document import Document
from hipcli.engine.engine import Engine
from hipcli.engine.events import Done
from hipcli.evaluation.bm25 import bm25
from hipcli.evaluation.evidence import known_pages, page_of
from hipcli.evaluation.questions import Item, grouped, load, read
from hipcli.evaluation.specs import parse
from hipcli.evaluation.subject import Subject
from hipcli.evidence.seeking import Seeker
from hipcli.evidence.token_spans import TokenSpans
from hipcli.models.resolve import resolve

ANSWER = 64  # tokens
NEUTRAL = "N/A"
RANKS = (1, 3, 5)
ROWS = {"question": "q", "behind": "b", "answer": "a", "no answer": "qb", "no question": "ba", "all": "qba"}
USUAL = (None, "instruction", "neutral")
CORRECTIONS = ("difference", "divergence")
FOURTHS = {name: (0.25 * number, 0.25 * number + 0.25) for number, name in enumerate(("1st", "2nd", "3rd", "4th"))}
LAYERS = {"all": (0.0, 1.0), **FOURTHS, "last half": (0.5, 1.0)}
LENGTHS = {"sum": 0.0, "root": 0.5, "mean": 1.0}
HEADS = (8, 32)  # the best ones on the other half of the questions
CHOSEN = ("all", "instruction", "divergence", "3rd", "root")


@dataclass
class Case:
    """A question: mean masses [layers, heads, passages] by kind of row, and which passages are on its pages."""

    hits: Tensor
    tokens: Tensor
    masses: dict[str, Tensor]
    words: list[float]


def cases(subject: Subject, items: Sequence[Item], longest: int) -> Iterator[Case]:
    for _, path, group in grouped(items, None, 0):
        document = read(path)
        known = [item for item in group if known_pages(item, document)]
        prompt = subject.prompt.documents([document])
        ids = subject.encoder.prefix(prompt)
        if not known or len(ids) > longest:
            continue
        spans = TokenSpans(subject.encoder, prompt, [document])
        seeker = Seeker(subject.encoder, subject.prompt, prompt, [document])
        window = subject.window or longest
        spec = parse("hip" if len(ids) + 512 <= window else f"hip:packed_from={window - 1024}")
        engine = subject.engine(spec, len(ids) + 512)
        for _ in engine.read(ids):
            pass
        neutral = masses(subject, engine, seeker, document, spans, len(ids), NEUTRAL)
        for item in known:
            found = masses(subject, engine, seeker, document, spans, len(ids), item.question)
            evidence = known_pages(item, document)
            yield Case(
                torch.tensor([page_of(passage, document) in evidence for passage in spans.passages]),
                torch.tensor([stop - start for start, stop in spans.spans]).clamp(min=1),
                {**found, "neutral": (neutral["q"] + neutral["b"]) / 2},
                bm25([passage.text for passage in spans.passages], item.question),
            )
            print(f"{item.id}: {len(ids):,} tokens", flush=True)


def masses(
    subject: Subject, engine: Engine, seeker: Seeker, document: Document, spans: TokenSpans, base: int, question: str
) -> dict[str, Tensor]:
    suffix = subject.encoder.suffix(subject.prompt.question([document], question))
    watch = seeker.watch(suffix)
    layers = [layer for layer, window in enumerate(subject.loaded.model.windows) if window is None]
    cache = engine.context.cache
    cache.keep_queries(layers, base, len(suffix) + ANSWER)
    bounds = torch.tensor(spans.spans, device=subject.device)
    found: dict[str, Tensor] = {}
    for event in engine.answer(suffix, ANSWER):
        if isinstance(event, Done):
            asked = base + len(suffix)
            edges = [base, base + watch.instruction, asked - watch.closing, asked, cache.length]
            parts = [range(*edge) for edge in itertools.pairwise(edges)]
            each = []
            for layer in layers:
                until = torch.nn.functional.pad(cache.layers[layer].mass(parts, spans.stop).double().cumsum(2), (1, 0))
                each.append((until[:, :, bounds[:, 1]] - until[:, :, bounds[:, 0]]).float().cpu())
            stacked = torch.stack(each, 1)  # [parts, layers, heads, passages]
            for name, mass, part in zip(("instruction", "q", "b", "a"), stacked, parts, strict=True):
                found[name] = mass / max(1, len(part))
    return found


def by_head(case: Case, rows: str, usual: str | None, correction: str) -> Tensor:
    """[layers, heads, passages]."""
    mass = torch.stack([case.masses[name] for name in ROWS[rows]]).mean(0)
    if usual is None:
        return mass
    if correction == "difference":
        return mass - case.masses[usual]
    return mass * ((mass + 1e-7) / (case.masses[usual] + 1e-7)).log()


def rank(case: Case, scores: Tensor) -> int:
    """Of the first passage that is on a page of the evidence, from 0."""
    order = scores.sort(descending=True, stable=True).indices
    return int(case.hits[order].float().argmax()) if bool(case.hits.any()) else 1 << 20


def shares(ranks: Sequence[int]) -> list[float]:
    return [round(100 * sum(each < k for each in ranks) / len(ranks), 1) for k in RANKS]


def chosen_heads(found: Sequence[Case], count: int, weight: Callable[[Case], Tensor]) -> list[int]:
    """Ranks with the heads that rank best on the other half of the questions."""
    scores = [by_head(case, *CHOSEN[:3]).flatten(0, 1) / weight(case) for case in found]
    quality = [
        torch.tensor([1 / (1 + rank(case, head)) for head in score]) for case, score in zip(found, scores, strict=True)
    ]
    ranks = []
    for index, (case, score) in enumerate(zip(found, scores, strict=True)):
        others = torch.stack([quality[other] for other in range(len(found)) if other % 2 != index % 2]).mean(0)
        ranks.append(rank(case, score[others.topk(count).indices].mean(0)))
    return ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("questions", type=Path)
    parser.add_argument("--longest", type=int, default=170_000, help="tokens of a document")
    parser.add_argument("--name", required=True, help="of the result")
    options = parser.parse_args()
    subject = Subject(resolve(options.model, print))
    with torch.inference_mode():
        found = list(cases(subject, load(options.questions), options.longest))
    table: dict[str, list[float]] = {"BM25": shares([rank(case, torch.tensor(case.words)) for case in found])}
    for rows, usual, correction in itertools.product(ROWS, USUAL, CORRECTIONS):
        if usual is None and correction != CORRECTIONS[0]:
            continue
        layered = [by_head(case, rows, usual, correction).mean(1) for case in found]  # [layers, passages] each
        for (layers, (first, last)), (length, power) in itertools.product(LAYERS.items(), LENGTHS.items()):
            count = layered[0].shape[0]
            part = slice(int(first * count), int(last * count))
            ranks = [rank(c, x[part].mean(0) / c.tokens**power) for c, x in zip(found, layered, strict=True)]
            table[" | ".join((rows, str(usual), correction, layers, length))] = shares(ranks)
    for count in HEADS:
        table[f"{count} heads"] = shares(chosen_heads(found, count, lambda case: case.tokens**0.5))
    save(f"evidence_ranking_{options.name}", {"questions": len(found), "chosen": " | ".join(CHOSEN), "shares": table})


if __name__ == "__main__":
    main()
