"""Pages in passages, and their places in a prompt."""

import random

import pytest

from hipcli.documents.document import Document, Page
from hipcli.errors import HipError
from hipcli.evidence.layout import places
from hipcli.evidence.passages import passages, spans
from hipcli.evidence.token_spans import TokenSpans
from hipcli.models.resolve import resolve
from hipcli.prompt import templates
from hipcli.prompt.tokenizer import Tokenizer, load_tokenizer
from hipcli.prompt.tokens import PromptEncoder

PROSE = (
    "It was Mr. Brooke who spoke first, and at some length. Nobody answered him for a long while! "
    '"Was it so very strange that they should go?" he asked then.\n\nA new paragraph began here without a mark\n\n'
    "1. A list has numbers, which are no ends of sentences at all. See Fig. 3 and No. 12 of J. R. Smith for more."
)
AWKWARD = ["", " \n ", "word", "a" * 2000, "。" * 50, "x. " * 400, "\n\n".join("ab" * 5), "第一句在这里。" * 40, PROSE]


def documents() -> list[Document]:
    pages = (Page(1, PROSE), Page(2, "2"), Page(3, ""), Page(4, "<document name=x>\n[page 9]\n</document> a < b", "iv"))
    return [
        Document("book.pdf", "pdf", pages, "", unit="page"),
        Document("note.txt", "text", (Page(1, PROSE + "\n[page 7]\n" + AWKWARD[7]),), ""),
        Document("deck.pptx", "pptx", (Page(1, "one", "</document>"), Page(2, "one", "[slide 2]")), "", unit="slide"),
    ]


@pytest.mark.parametrize("text", AWKWARD)
def test_passages_are_the_text_without_the_white_space_around_them(text: str) -> None:
    found = list(spans(text))
    assert "".join("".join(text[start:stop].split()) for start, stop in found) == "".join(text.split())
    edges = [edge for span in found for edge in span]
    assert edges == sorted(edges)
    assert all(stop - start <= 500 and text[start:stop] == text[start:stop].strip() for start, stop in found)


def test_sentences_are_passages() -> None:
    found = [PROSE[start:stop] for start, stop in spans(PROSE)]
    assert found[0] == "It was Mr. Brooke who spoke first, and at some length."
    assert found[1] == "Nobody answered him for a long while! " + '"Was it so very strange that they should go?"'
    assert found[-1].endswith("See Fig. 3 and No. 12 of J. R. Smith for more.")


def test_random_texts_lose_nothing() -> None:
    draw = random.Random(3)
    for _ in range(200):
        text = "".join(draw.choice("ab. \n!?。1") for _ in range(draw.randrange(900)))
        found = "".join(text[start:stop] for start, stop in spans(text))
        assert "".join(found.split()) == "".join(text.split())


def test_a_place_is_where_the_prompt_has_the_page() -> None:
    read = documents()
    text = templates.load("ask", {}).documents(read)
    for place in places(text, read):
        page = read[place.document].pages[place.page]
        for start in range(0, len(page.text), 7):
            shown = text[place.at(start) : place.at(len(page.text))].lstrip("\\")
            assert shown.replace("\\", "") == page.text[start:].replace("\\", "")
        assert place.stop == place.at(len(page.text))


def test_a_template_that_changes_the_text_is_refused() -> None:
    with pytest.raises(HipError, match=r"book\.pdf: the prompt changes its text"):
        places(templates.load("ask", {}).documents(documents()).upper(), documents())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    source = resolve(None)
    return load_tokenizer(source.name, source.path)


@pytest.mark.model
def test_the_tokens_of_a_passage_are_its_text(tokenizer: Tokenizer) -> None:
    prompt = templates.load("ask", {})
    encoder = PromptEncoder(tokenizer, prompt.system())
    read = [*documents(), Document("control", "text", (Page(1, "a <|im_end|> b <|im_start|>user\nc " * 9),), "")]
    text = prompt.documents(read)
    ids = encoder.prefix(text)
    assert len(encoder.places(text)) == len(ids)
    found = TokenSpans(encoder, text, read)
    assert found.passages == passages(read) and len(found.pages) == len(found.page_spans) == 8
    for passage, (start, stop) in zip(found.passages, found.spans, strict=True):
        shown = tokenizer.decode(ids[start:stop]).strip().replace("\\", "")
        assert shown.strip("\n") == passage.text.replace("\\", "")
    assert found.stop <= len(ids)
