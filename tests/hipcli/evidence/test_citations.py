"""Quotes of answers, looked up in documents."""

import json
import random
import re
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes import FakeRuntime
from schemas import schema

from hipcli.documents.document import Document, Page
from hipcli.evidence.citations import Citer
from hipcli.evidence.lookup import Lookup, is_evidence
from hipcli.evidence.normal import Normal
from hipcli.evidence.quotes import quotes
from hipcli.evidence.reference import Citation
from hipcli.output.citing import reference_lines

Run = Callable[..., Any]

MILL = (
    "The mill burned down in 1893.\nIts owner, Mr. Quist, was in Ham-\nburg that night; “nobody,” he said, “is a "
    "friend of ﬁre.” It was self-evident — or so it seemed – that he would re-\nbuild it. He did not sell the ＭＩＬＬ."
)
LAND = "page two begins here, and the owner's land was sold to a Dr. Fell of Rotterdam. 工場は一八九三年に焼け落ちた。"


def book() -> list[Document]:
    pages = (Page(1, MILL, "i"), Page(2, LAND, "ii"), Page(3, "He would rebuild it.\nNothing else."))
    return [
        Document("book.pdf", "pdf", pages, "", unit="page"),
        Document("note.txt", "text", (Page(1, "A note."),), ""),
    ]


def cited(answer: str) -> list[Citation]:
    return list(Citer(book()).citations(answer))


@pytest.mark.parametrize(
    ("quote", "passage"),
    [
        ("The mill burned down in 1893", "The mill burned down in 1893"),
        ("the mill burned\n down  in 1893.", "The mill burned down in 1893"),
        ("was in Hamburg that night", "was in Ham-\nburg that night"),
        ("'nobody', he said, 'is a friend of fire'", "nobody,” he said, “is a friend of ﬁre"),
        ("selfevident, or", None),
        ("It was selfevident - or so it seemed - that", "It was self-evident — or so it seemed – that"),
        ("sell the MILL. page two begins here", "sell the ＭＩＬＬ."),
        ("the owners land was sold to", "the owner's land was sold to"),
        ("The mill ... was in Hamburg", "The mill burned down in 1893.\nIts owner, Mr. Quist, was in Ham-\nburg"),
        ("burg that night", None),
        ("ill burned down in 189", None),
        ("工場は一八九三年に", "工場は一八九三年に"),
        ("", None),
        ("...", None),
    ],
)
def test_a_quote_is_found_whatever_typesetting_did(quote: str, passage: str | None) -> None:
    found = Lookup(book()).exact(quote)
    assert (found and found.text) == passage
    if found:
        assert book()[found.document].pages[found.page].text[found.start : found.stop] == found.text


def test_the_page_that_is_named_is_preferred() -> None:
    lookup = Lookup([Document("b", "pdf", (Page(1, "so it goes on"), Page(2, "so it goes on")), "", unit="page")])
    first, second = lookup.exact("so it goes on"), lookup.exact("so it goes on", [(0, 1)])
    assert first and second and (first.page, second.page) == (0, 1)


@pytest.mark.parametrize(
    "text", [MILL, LAND, "", "--", "“”", "a-\n", "ﬁ", "ﬃx y", "a — b", "x\u00ad\ny", "Å①½", " \n "]
)
def test_every_place_of_the_normal_form_leads_back(text: str) -> None:
    normal = Normal(text)
    for place, character in enumerate(normal.form):
        at = normal.start(place)
        assert 0 <= at < len(text)
        assert character in (" ", text[at]) or character in unicodedata.normalize("NFKC", text[at])
        assert normal.stop(place + 1) == at + 1
    assert normal.form == Normal(normal.form).form


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('He said "one two three" (page 4).', [("one two three", "page 4")]),
        ("On page 4 he said “one two three”.", [("one two three", "page 4")]),
        ("See page 4. He said “one two three”.", [("one two three", None), ("See.", "page 4")]),
        ("First. It was sold in 1893. (page 4)", [("It was sold in 1893.", "page 4")]),
        ("(page 4)", []),
        ("A «b c d» and „e f g“ and 「h」 [section 2]", [("b c d", None), ("e f g", None), ("h", "section 2")]),
        ("> a block\n> of two lines\n\n(p. 7) ends", [("a block\nof two lines", "p. 7")]),
        ('A 5" pipe and a 6" one, don\'t you think?', []),
        ('An "open quote\n\nand "a closed one here".', [("a closed one here", None)]),
        ("It was sold in 1893 (pp. 3-4). Then nothing.", [("It was sold in 1893.", "pp. 3-4")]),
        ("The homepage 3 and chapterhouse 4 are no pages", []),
        ("“outer “inner words here” outer”", [("outer “inner words here", None)]),
    ],
)
def test_what_an_answer_quotes(answer: str, expected: list[tuple[str, str | None]]) -> None:
    assert [(quote.text, quote.cited) for quote in quotes(answer)] == expected


def test_short_words_prove_nothing_unless_their_page_is_named() -> None:
    assert not is_evidence("the") and not is_evidence("a b c") and is_evidence("in Hamburg that night")
    assert cited('It was "Quist" who "said".') == []
    (found,) = cited('It was "Quist" (page 1).')
    assert found.verified
    (found,) = cited('It was "Quist" (page 2).')
    assert (found.verified, found.score) == (False, 1.0)
    assert "not verified, too short to prove anything: book.pdf, page i (page 1" in reference_lines([found], book())


def test_an_altered_quote_is_the_best_match_and_not_verified() -> None:
    (found,) = cited('He wrote "the mill burned up in 1893 and its owner" there.')
    assert not found.verified and 0.5 < found.score < 1
    assert found.passage and found.passage.text.startswith("The mill burned down in 1893.")


def test_an_invented_quote_is_said_to_be_not_found() -> None:
    (found,) = cited('He wrote "whales sing underneath purple mountains" there.')
    assert (found.verified, found.passage, found.score) == (False, None, 0.0)


def test_a_page_by_its_label_and_a_wrong_page() -> None:
    first, second = cited('"The mill burned down" (page i). "land was sold to a Dr. Fell" (page 1).')
    assert (first.verified, first.cited) == (True, "page i")
    assert second.verified and second.passage and second.passage.page == 1


def _flat(text: str) -> str:
    """Letters and digits alone: what no typesetting changes."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text)).casefold()


def test_nothing_is_verified_that_is_not_in_the_document() -> None:
    """500 answers of a model that quotes, alters, mixes and invents."""
    draw = random.Random(18)
    words = f"{MILL} {LAND}".split()
    flat = _flat("".join(page.text for page in book()[0].pages))
    citer = Citer(book())
    verified = invented = 0
    for _ in range(500):
        start = draw.randrange(len(words) - 4)
        quote = words[start : start + draw.randrange(2, 14)]
        change = draw.randrange(5)
        if change == 1:
            quote[draw.randrange(len(quote))] = draw.choice(["whale", "1894", "not", "Fell"])
        elif change == 2:
            draw.shuffle(quote)
        elif change == 3:
            quote += draw.sample(words, 3)
        elif change == 4 and len(quote) > 3:
            del quote[1]
        left, right = draw.choice([('"', '"'), ("“", "”"), ("«", "»")])
        text = " ".join(quote).replace('"', "").replace("“", "").replace("”", "")
        page = draw.choice(["", " (page 1)", " [page 2]", " (p. 9)"])
        for citation in citer.citations(f"As it says, {left}{text}{right}{page}, which is so."):
            verified += citation.verified
            invented += not citation.verified
            if citation.verified:
                assert citation.passage is not None
                assert all(_flat(part) in flat for part in re.split(r"\.\.\.|…", citation.quote))
                assert _flat(citation.passage.text) in flat and citation.score == 1.0
            else:
                assert citation.score < 1.0 or not is_evidence(citation.quote)
    assert verified > 40 and invented > 100


def test_a_long_text_is_searched_quickly() -> None:
    draw = random.Random(1)
    letters = "etaoinshrdlu"
    text = " ".join("".join(draw.choices(letters, k=draw.randrange(2, 9))) for _ in range(150_000))
    citer = Citer([Document("long", "text", (Page(1, text),), "")])
    at = len(text) // 2
    answer = " ".join(f'"{text[at + 90 * n : at + 90 * n + 70].strip()} x{n}"' for n in range(20))
    citer.citations(answer)
    begin = time.perf_counter()
    assert len(citer.citations(answer)) == 20
    assert time.perf_counter() - begin < 2.0
    hostile = Citer([Document("long", "text", (Page(1, "a b " * 100_000),), "")])
    begin = time.perf_counter()
    hostile.citations('"a b a b ... c d e f" and "a b a b a b x" and "' + "b a " * 300 + '"')
    assert time.perf_counter() - begin < 5.0


@pytest.fixture
def mill(tmp_path: Path) -> Path:
    path = tmp_path / "mill.txt"
    path.write_text(MILL)
    return path


def test_references_are_numbered_and_stand_behind_the_answer(hip: Run, fake: FakeRuntime, mill: Path) -> None:
    answer = 'It says "the mill burned down in 1893", and "whales sing beneath purple mountains" too.'
    fake.pieces = [answer[at : at + 3] for at in range(0, len(answer), 3)]
    done = hip("ask", "-q", "When?", "--cite", mill)
    assert done.code == 0
    assert done.out == (
        'It says "the mill burned down in 1893" [1], and "whales sing beneath purple mountains" [2] too.\n\n'
        'References:\n[1] "the mill burned down in 1893"\n'
        f'    verified: {mill}, line 1\n[2] "whales sing beneath purple mountains"\n    not found in the documents\n'
    )
    assert "word for word in quotation marks" in fake.questions[0]


def test_citations_in_json(hip: Run, fake: FakeRuntime, mill: Path) -> None:
    fake.pieces = ['It says "the mill burned down" on page 7.']
    assert json.loads(hip("ask", "-q", "When?", "--json", mill).out)["answers"][0]["citations"] is None
    assert "word for word" not in fake.questions[0]
    found = json.loads(hip("ask", "-q", "When?", "--cite", "--json", mill).out)
    jsonschema.validate(found, schema("answer.schema.json"))
    assert found["answers"][0]["text"] == fake.pieces[0]
    assert found["answers"][0]["citations"] == [
        {
            "quote": "the mill burned down", "verified": True, "score": 1.0, "cited": "page 7",
            "found": {"document": "d1", "page": 1, "label": None, "start": 0, "stop": 20, "passage": MILL[:20]},
        }
    ]  # fmt: skip


def test_an_answer_without_quotes_says_so(hip: Run, fake: FakeRuntime, mill: Path) -> None:
    assert hip("ask", "-q", "When?", "--cite", mill).out.endswith(
        "References: the answer quotes nothing and names no page.\n"
    )
    assert hip("ask", "-q", "When?", "--cite", "--extract", "2", mill).code == 2
