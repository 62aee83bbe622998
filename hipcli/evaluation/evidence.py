"""Whether the sources of an answer are where its evidence stands: `hip eval evidence`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hipcli.documents.document import Document
from hipcli.engine.events import Done, Event, Token
from hipcli.evaluation.bm25 import bm25
from hipcli.evaluation.questions import SHORT_ANSWER, Item, Skipped, grouped, read
from hipcli.evaluation.scoring import contains, token_f1
from hipcli.evaluation.specs import Spec
from hipcli.evaluation.subject import Subject
from hipcli.evaluation.units import Outcome, Unit
from hipcli.evidence.citations import Citer
from hipcli.evidence.passages import passages
from hipcli.evidence.reference import Passage
from hipcli.evidence.seeking import Seeker
from hipcli.prompt import templates

RANKS = (1, 3, 5)
CITED_ANSWER = 192  # tokens, with its quotes
TASK = "evidence"
_STRETCH = 2000  # characters that stand for a page in texts without pages
_ALIKE = 0.5  # F1 of words from which an answer counts as right
_LIKELY = ", likely pages"

_Page = tuple[int, int]  # position of the page, and of the stretch in it


def units(
    items: Sequence[Item], context: int, n: int | None, seed: int, subject: Subject
) -> tuple[list[Unit], list[Skipped]]:
    """A unit for every document and type of question.

    Evidence stands on the page that the file names, or where an answer stands word for word. Where neither is known it
    is the page that is likeliest by the words of the answers, and the type of question says so. Raises HipError where a
    document cannot be read.
    """
    made: list[Unit] = []
    skipped = []
    for number, (kind, path, group) in enumerate(grouped(items, n, seed)):
        document = read(path)
        encoder, prompt = subject.encoder, templates.load("ask", {}, cite=True)
        tokens = len(encoder.prefix(prompt.documents([document]))) + CITED_ANSWER
        tokens += max(len(encoder.suffix(prompt.question([document], item.question))) for item in group)
        if tokens > context:
            skipped.append(Skipped(path.name, len(group), tokens))
            continue
        for known in (True, False):
            chosen = [item for item in group if bool(known_pages(item, document)) == known]
            if chosen:
                inputs = {"document": document.sha256, "questions": [item.id for item in chosen]}
                name = kind if known else kind + _LIKELY
                made.append(Unit(TASK, name, tokens, number, seed, inputs, _Run(document, chosen, tokens)))
    return made, skipped


@dataclass(frozen=True)
class _Run:
    """Asks the questions of one document, and ranks its passages by attention and by BM25; and once more for quotes.

    `cited` are answers with a quote that is verified; `reference` are such quotes, and whether they are on a page of
    the evidence or hold an answer.
    """

    document: Document
    items: list[Item]
    tokens: int

    def __call__(self, subject: Subject, spec: Spec) -> Outcome:
        documents = [self.document]
        encoder, prompt = subject.encoder, subject.prompt
        text = prompt.documents(documents)
        seeker = Seeker(encoder, prompt, text, documents)
        found = passages(documents)
        engine = subject.engine(spec, self.tokens)
        for _ in engine.read(encoder.prefix(text)):
            pass
        columns: dict[str, list[float]] = {f"{name}_{rank}": [] for name in ("sources", "bm25") for rank in RANKS}
        columns |= {"watch_share": [], "cited": [], "reference": []}
        citing = templates.load("ask", {}, cite=True)
        citer = Citer(documents)
        right, answers = [], []
        for item in self.items:
            evidence = known_pages(item, self.document) or likely_pages(item, self.document)
            suffix = encoder.suffix(prompt.question(documents, item.question))
            events = list(engine.answer(suffix, SHORT_ANSWER, seeker.watch(suffix)))
            answer, done = _text(events), events[-1]
            assert isinstance(done, Done) and done.masses is not None
            by_attention = [each.passage for each in seeker.evidence(done.masses, RANKS[-1]).sources or ()]
            scores = bm25([passage.text for passage in found], item.question)
            by_words = [found[index] for index in sorted(range(len(found)), key=lambda index: -scores[index])]
            for name, ranked in (("sources", by_attention), ("bm25", by_words)):
                for rank in RANKS:
                    hit = any(page_of(passage, self.document) in evidence for passage in ranked[:rank])
                    columns[f"{name}_{rank}"].append(float(hit))
            for_quotes = encoder.suffix(citing.question(documents, item.question))
            citations = citer.citations(_text(engine.answer(for_quotes, CITED_ANSWER)))
            verified = [each.passage for each in citations if each.verified and each.passage is not None]
            columns["cited"].append(float(bool(verified)))
            columns["reference"] += [
                float(page_of(each, self.document) in evidence or bool(contains(each.text, item.answers)))
                for each in verified
            ]
            columns["watch_share"].append(round(done.watch_s / max(done.decode_s, 1e-9), 4))
            right.append(contains(answer, item.answers) or float(token_f1(answer, item.answers) >= _ALIKE))
            answers.append(answer)
        return Outcome(columns, {"ids": [item.id for item in self.items], "answers": answers, "right": right})


def _text(events: Iterable[Event]) -> str:
    """The text of an answer."""
    return "".join(event.text for event in events if isinstance(event, Token)).strip()


def page_of(passage: Passage, document: Document) -> _Page:
    if document.unit is not None:
        return passage.page, 0
    return passage.page, (passage.start + passage.stop) // 2 // _STRETCH


def known_pages(item: Item, document: Document) -> set[_Page]:
    """The pages where the evidence stands; none where nobody says."""
    if item.page is not None:
        return {(item.page - 1, 0)}
    found = set()
    for number, page in enumerate(document.pages):
        text, places = _spaced(page.text)
        for words in [item.evidence] if item.evidence else item.answers:
            wanted, _ = _spaced(words)
            start = text.find(wanted)
            while start >= 0:
                for place in (places[start], places[start + len(wanted) - 1]):
                    found.add((number, 0 if document.unit is not None else place // _STRETCH))
                start = text.find(wanted, start + 1)
    return found


def likely_pages(item: Item, document: Document) -> set[_Page]:
    """The page whose words are most like those of the answers."""
    stretches = []
    for number, page in enumerate(document.pages):
        size = max(1, len(page.text)) if document.unit is not None else _STRETCH
        for place in range(0, len(page.text), size):
            stretches.append(((number, place // size), page.text[place : place + size]))
    scores = bm25([text for _, text in stretches], " ".join(item.answers))
    return {stretches[max(range(len(scores)), key=scores.__getitem__)][0]}


def _spaced(text: str) -> tuple[str, list[int]]:
    """The text with one space for any white space, and where each of its characters stands in `text`."""
    kept = [
        (" " if character.isspace() else character, place)
        for place, character in enumerate(text)
        if not (character.isspace() and (place == 0 or text[place - 1].isspace()))
    ]
    while kept and kept[-1][0] == " ":
        kept.pop()
    return "".join(character for character, _ in kept), [place for _, place in kept]
