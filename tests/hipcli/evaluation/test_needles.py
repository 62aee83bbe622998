"""What is hidden: seeded, once, at the depths that are said, and never more text than asked for."""

import random
import re
from collections import Counter
from types import SimpleNamespace

import pytest

from hipcli.documents.document import Document, Page
from hipcli.errors import HipError
from hipcli.evaluation.corpus import Corpus, stretch
from hipcli.evaluation.needle import build, hide
from hipcli.evaluation.needles import GROUPS, KINDS, LISTS, puzzle


def words(count: int) -> str:
    """Sentences of eight made-up words."""
    draw = random.Random(1)
    made = ["".join(draw.choices("abcdefghij", k=draw.randrange(2, 9))) for _ in range(count)]
    return " ".join(" ".join(made[i : i + 8]).capitalize() + "." for i in range(0, count, 8))


class Encoder:
    """A token for every word or mark."""

    def text(self, text: str) -> list[int]:
        return [len(word) for word in re.findall(r"\w+|[^\w\s]", text)]

    prefix = suffix = text


PROMPT = SimpleNamespace(documents=lambda documents: documents[0].pages[0].text, question=lambda _, question: question)
SUBJECT = SimpleNamespace(encoder=Encoder(), prompt=PROMPT)


def corpus(text: str) -> Corpus:
    return Corpus([Document("a.txt", "text", (Page(1, text),), "0")], lambda part: len(Encoder().text(part)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    assert puzzle(kind, 3, 1, 4) == puzzle(kind, 3, 1, 4)
    assert puzzle(kind, 3, 1, 4) != puzzle(kind, 4, 1, 4)
    assert puzzle(kind, 3, 1, 4) != puzzle(kind, 3, 2, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_question_can_be_answered_from_the_text_alone(kind: str) -> None:
    made = puzzle(kind, 0, 0, 2)
    text = hide(made.needles, [sentence + " " for sentence in words(800).split(". ")])
    assert len(made.questions) == (1 if kind == "single" else GROUPS)
    for question in made.questions:
        for expected in question.expected:
            asked = question.text + question.opening
            assert expected.text not in asked
            times = len(re.findall(rf"\b{expected.text}\b", text))
            # A variable is set once and, but for the last, read once.
            assert times >= LISTS if kind == "words" else times in ((1, 2) if kind == "variables" else (1,))


def test_lists_share_exactly_the_common_words() -> None:
    made = puzzle("words", 5, 0, 1)
    for question in made.questions:
        owner = re.search(r"that (\w+) wrote", question.text)[1]
        lists = [needle.text.split(": ")[1].rstrip(".").split(", ") for needle in made.needles if owner in needle.text]
        counts = Counter(word for each in lists for word in each)
        assert {word for word, count in counts.items() if count == LISTS} == {e.text for e in question.expected}
        assert max(count for word, count in counts.items() if count < LISTS) == 1


def test_chains_lead_from_the_value_to_every_variable() -> None:
    made = puzzle("variables", 5, 0, 1)
    source = dict(re.fullmatch(r"Variable (\w+) is set to (.*)\.", needle.text).groups() for needle in made.needles)
    for question in made.questions:
        value = re.search(r"\d{7}", question.text)[0]
        for expected in question.expected:
            name = expected.text
            while not source[name].isdigit():
                name = source[name].split()[-1]
            assert source[name] == value


@pytest.mark.parametrize("kind", ["single", "multikey", "multivalue", "multiquery", "variables"])
def test_depths_cover_the_text_evenly(kind: str) -> None:
    depths = [expected.depth for i in range(20) for q in puzzle(kind, 0, i, 20).questions for expected in q.expected]
    tenths = Counter(int(depth * 10) for depth in depths)
    assert min(tenths.values()) > 0.7 * len(depths) / 10
    assert len(tenths) == 10


def test_values_avoid_what_the_text_holds() -> None:
    plain = puzzle("single", 0, 0, 1)
    taken = plain.needles[0].text
    assert puzzle("single", 0, 0, 1, taken).questions[0].expected[0].text not in taken


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("context", [900, 2000])
def test_the_prompt_is_as_long_as_asked(kind: str, context: int) -> None:
    task = build(SUBJECT, corpus(words(4000)), kind, context, seed=0, number=1, of=3)
    assert context - 10 <= task.tokens <= context


def test_needles_stand_where_they_are_said_to() -> None:
    made = puzzle("multikey", 0, 0, 1)
    text = hide(made.needles, [sentence + ". " for sentence in words(8000).split(". ")])
    for needle in made.needles:
        assert text.index(needle.text) / len(text) == pytest.approx(needle.depth, abs=0.01)


def test_a_text_that_is_too_short_is_refused() -> None:
    with pytest.raises(HipError, match="hold"):
        build(SUBJECT, corpus(words(300)), "single", 2000, 0, 0, 1)
    with pytest.raises(HipError, match="no room"):
        build(SUBJECT, corpus(words(4000)), "multikey", 60, 0, 0, 1)


def test_passages_are_whole_sentences_and_go_round() -> None:
    text = "One two three. Four five six! Seven eight? Nine ten."
    assert "".join(corpus(text).passage(0, 100 - 88)) == "One two three. Four five six! Seven eight? "
    assert corpus(text).passage(0.9, 8)[:2] == ["Nine ten.", "One two three. "]


def test_stretches_overlap_by_three_quarters_at_most() -> None:
    ids = list(range(1000))
    parts = [stretch(ids, i, 5, 500) for i in range(5)]
    assert parts[0][0] == 0
    assert parts[-1][-1] == 999
    assert all(len(part) == 500 for part in parts)
    with pytest.raises(HipError, match="needed"):
        stretch(ids, 0, 6, 500)
