"""The report as a web page: what is in it, and that nothing of a document becomes a part of the page."""

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRuntime
from pdf_files import line, pdf

from hipcli.documents.document import Document, Page
from hipcli.evidence.reference import Passage
from hipcli.output.html.pages import Pages

Run = Callable[..., Any]
HOSTILE = (
    "</style></script><script>alert(1)</script><img src=x onerror=alert(2)> <a href='javascript:alert(3)'>x</a> "
    "{{ 7*7 }} {% raw %} ]]> --> \x00\x1b[31m \u202eevil\u202c </document> <mark id=answers> & &amp; &lt;b&gt; "
    "expression(1) } body { display:none } url(http://evil.example/x)"
)
# Elements without an end.
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Tree(HTMLParser):
    """Elements with their attributes, and whether every one is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def mill(tmp_path: Path) -> Path:
    path = tmp_path / "mill <b>&.txt"
    path.write_text(f"The mill burned down in 1893, in the night. {HOSTILE} The owner was Mr. Quist of Rotterdam.")
    return path


@pytest.fixture
def page(hip: Run, fake: FakeRuntime, mill: Path, tmp_path: Path) -> str:
    fake.attends = "Quist"
    fake.pieces = ['It says "the mill burned down in 1893" and "whales sing beneath mountains". ', HOSTILE]
    done = hip("ask", "-q", f"When? {HOSTILE}".replace("\x00", ""), "--html", tmp_path / "r.html", mill)
    assert done.code == 0, done.err
    return (tmp_path / "r.html").read_text(encoding="utf-8")


def test_nothing_of_a_document_or_an_answer_becomes_a_part_of_the_page(page: str) -> None:
    tree = Tree(page)
    assert not {tag for tag, _ in tree.elements} & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert all(not name.startswith("on") and name != "style" for _, found in tree.elements for name in found)
    assert all(str(link["href"]).startswith("#") for link in tree.all("a"))
    assert not any(name in found for _, found in tree.elements for name in ("src", "srcset", "data", "action"))
    assert "\x00" not in page and "\x1b" not in page and "\u202e" not in page
    assert "\\x1b[31m" in page and "{{ 7*7 }}" in page
    assert page.count("alert(1)") == page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 0


def test_the_policy_allows_the_style_alone(page: str) -> None:
    (policy,) = (found["content"] for found in Tree(page).all("meta") if "http-equiv" in found)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style and policy
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style[1] and "@import" not in style[1]


def test_every_link_leads_somewhere_and_every_id_is_one(page: str) -> None:
    tree = Tree(page)
    ids = [found["id"] for _, found in tree.elements if "id" in found]
    assert len(ids) == len(set(ids))
    assert {str(link["href"])[1:] for link in tree.all("a")} <= set(ids)
    for name in ("aria-labelledby", "aria-describedby"):
        assert {found[name] for _, found in tree.elements if name in found} <= set(ids)


def test_quotes_and_sources_lead_to_their_passages(page: str) -> None:
    assert page.index("burned down in 1893&#34;") < page.index('class="mark good"') < page.index('class="mark bad"')
    assert "verified" in page and "not found in the documents" in page
    marked = re.findall(r'<mark id="[^"]+" tabindex="-1">(.*?)</mark>', page)
    assert marked[0] == "The mill burned down in 1893" and "Quist" in marked[-1]


def test_a_report_without_evidence_says_so(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("A note.")
    fake.attends = "nothing that is there"
    assert hip("summarize", "--html", tmp_path / "r.html", note).code == 0
    page = (tmp_path / "r.html").read_text()
    assert "There are no quotes and no sources to show." in page and "All is well." in page
    assert "Sources, by" not in hip("summarize", "--html", tmp_path / "r.html", note).out
    assert hip("summarize", "--html", tmp_path / "r.html", note).code == 0
    assert (tmp_path / "r.html").read_text() == page


def test_what_was_not_read_is_in_the_table(hip: Run, fake: FakeRuntime, mill: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    done = hip("summarize", "--html", tmp_path / "r.html", mill, tmp_path / "empty.txt", tmp_path / "none.pdf")
    page = (tmp_path / "r.html").read_text()
    assert done.code == 1 and page.count('<td class="failed">failed</td>') == 2


def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(
    hip: Run, fake: FakeRuntime, mill: Path, tmp_path: Path
) -> None:
    for option in ("--html", "--heatmap"):
        assert hip("summarize", option, tmp_path / "no" / "r.png", mill).code == 2
    assert hip("summarize", "--heatmap", tmp_path / "r.doc", mill).code == 2
    assert fake.reads == []


def test_long_pages_are_cut_where_nothing_leads_to_and_it_is_said() -> None:
    text = "".join(f"{number:07}\n" for number in range(10_000))
    document = Document("long.txt", "text", (Page(1, text),), "")
    pages = Pages()
    spans = [(20_000, 20_100), (20_050, 20_200), (60_000, 60_010)]
    names = [pages.add(0, document, Passage(0, 0, start, stop, text[start:stop])) for start, stop in spans]
    (shown,) = pages.shown()
    pieces = shown["pieces"]
    assert [piece["id"] for piece in pieces if piece["id"]] == names
    left = [int(piece["text"].split()[0].replace(",", "")) for piece in pieces if piece["gap"]]
    assert sum(left) + sum(len(piece["text"]) for piece in pieces if not piece["gap"]) == len(text)
    assert len(left) == 3 and pages.id_of(0, 0) == shown["id"] and pages.id_of(0, 1) is None


def test_a_heat_map_is_a_picture(hip: Run, fake: FakeRuntime, mill: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    book = tmp_path / "book.pdf"
    book.write_bytes(pdf(line("The mill burned."), line("Its owner was Quist .")))
    fake.attends = "Quist"
    assert hip("ask", "-q", "Whose $mill$?", "--heatmap", tmp_path / "r.png", mill, book).code == 0
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "r.png").unlink()
    done = hip("summarize", "--heatmap", tmp_path / "r.png", mill)
    assert done.code == 1 and "no document has pages" in done.err and not (tmp_path / "r.png").exists()
