"""The report as a web page: what is in it, and that nothing of a document becomes a part of the page."""

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRuntime
from pdf_files import line, pdf

from hipcli.documents.document import Document, Page
from hipcli.evidence.reference import Passage
from hipcli.output import heatmap
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
    for name in ("aria-labelledby", "aria-describedby", "interestfor"):
        assert {found[name] for _, found in tree.elements if name in found} <= set(ids)


def test_headings_go_down_by_one_and_tables_have_headers(page: str) -> None:
    tree = Tree(page)
    levels = [int(tag[1]) for tag, _ in tree.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert {found["scope"] for found in tree.all("th")} == {"col", "row"}
    assert len(tree.all("main")) == len(tree.all("header")) == 1


def test_a_reference_shows_its_passage_where_it_stands_and_where_it_does_not_whether_it_is_one(page: str) -> None:
    tree = Tree(page)
    marks = [found for found in tree.all("a") if str(found.get("class")).startswith("mark")]
    tips = {str(found["id"]): found for found in tree.all("span") if found.get("popover") == "hint"}
    assert [found["interestfor"] for found in marks] == list(tips) and len(tips) == 2
    assert ">[1]</a>" in page and ">[2?]</a>" in page  # not by colour alone


def test_nothing_in_the_page_leads_out_of_it(page: str) -> None:
    values = [value for _, found in Tree(page).elements for value in found.values() if value]
    assert not [value for value in values if re.search(r"https?:|//|url\(|javascript:|data:", value)]


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
    assert done.code == 1 and page.count(' class="bad">failed</td>') == 2
    assert "no such file or directory" in page


def test_what_was_read_and_is_in_no_answer_is_in_the_table(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    for name, words in (("short", 50), ("long", 9000)):
        (tmp_path / f"{name}.txt").write_text("word " * words)
    options = ("--each", "--attention", "dense", "--html", tmp_path / "r.html")
    assert hip("summarize", *options, tmp_path / "short.txt", tmp_path / "long.txt").code == 3
    page = (tmp_path / "r.html").read_text()
    assert page.count("In no answer: its prompt does not fit.") == 1
    assert page.index("long.txt") < page.index("In no answer")
    assert "1 of 2 documents, read one by one by" in page


def test_files_that_were_not_looked_at_are_named(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "note.txt").write_text("A note.")
    for number in range(203):
        (folder / f".hidden<{number}>").write_text("")
    assert hip("summarize", "--html", tmp_path / "r.html", folder).code == 0
    page = (tmp_path / "r.html").read_text()
    assert "203 hidden or ignored files and folders were not looked at" in page and "and 3 more" in page
    assert page.count(".hidden&lt;") == 200


def test_one_question_is_the_title_and_several_are_headings(hip: Run, fake: FakeRuntime, mill: Path) -> None:
    path = mill.parent / "r.html"
    assert hip("ask", "-q", "When did it burn?", "--html", path, mill).code == 0
    assert path.read_text().count("When did it burn?") == 2  # and the name of the window
    assert hip("ask", "-q", "When?", "-q", "Whose?", "--html", path, mill).code == 0
    page = path.read_text()
    assert page.count("When?") == page.count("Whose?") == 2 and page.count("<article") == 2


def test_a_name_from_right_to_left_does_not_turn_its_page_around(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    path = tmp_path / "\u05e9\u05dc\u05d5\u05dd.pdf"
    path.write_bytes(pdf(line("The mill burned."), line("Its owner was Quist .")))
    other = tmp_path / "note.txt"
    other.write_text("A note.")
    fake.attends = "Quist"
    assert hip("summarize", "--html", tmp_path / "r.html", path, other).code == 0
    assert f'<bdi dir="ltr">{path}</bdi>, <bdi>page 2</bdi>' in (tmp_path / "r.html").read_text()


def test_the_same_quote_twice_has_two_references(hip: Run, fake: FakeRuntime, mill: Path, tmp_path: Path) -> None:
    quote = '"The mill burned down in 1893"'
    fake.pieces = [f"First {quote}, then {quote} again."]
    assert hip("summarize", "--html", tmp_path / "r.html", mill).code == 0
    page = (tmp_path / "r.html").read_text()
    assert page.index(">[1]</a>") < page.index(", then ") < page.index(">[2]</a>") < page.index(" again.")


def test_standard_input_has_a_name(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    assert hip("summarize", "--html", tmp_path / "r.html", "-", stdin=b"The mill.").code == 0
    page = (tmp_path / "r.html").read_text()
    assert "<title>standard input</title>" in page and '<bdi dir="ltr">standard input</bdi></th>' in page


def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(
    hip: Run, fake: FakeRuntime, mill: Path, tmp_path: Path
) -> None:
    for option in ("--html", "--heatmap"):
        assert hip("summarize", option, tmp_path / "no" / "r.png", mill).code == 2
    assert hip("summarize", "--heatmap", tmp_path / "r.doc", mill).code == 2
    (tmp_path / "folder.png").mkdir()
    assert hip("summarize", "--heatmap", tmp_path / "folder.png", mill).code == 2
    done = hip("summarize", "--html", tmp_path / "no" / "r.html", mill)
    assert "--output" not in done.err and "--html" in done.err
    assert fake.reads == []


def test_two_things_are_not_written_to_one_place(hip: Run, fake: FakeRuntime, mill: Path, tmp_path: Path) -> None:
    for option in ("--html", "--heatmap"):
        done = hip("summarize", option, "-", mill)
        assert done.code == 2 and f"{option} -: standard output" in done.err
    done = hip("summarize", "-o", tmp_path / "r.png", "--html", tmp_path / "." / "r.png", mill)
    assert done.code == 2 and "--output and --html name the same file" in done.err
    done = hip("summarize", "--heatmap", tmp_path / "r.png", "--html", tmp_path / "r.png", mill)
    assert done.code == 2 and "--html and --heatmap name the same file" in done.err
    assert fake.reads == []


def test_long_pages_are_cut_where_nothing_leads_to_and_it_is_said() -> None:
    text = "".join(f"{number:07}\n" for number in range(10_000))
    document = Document("long.txt", "text", (Page(1, text),), "")
    pages = Pages()
    spans = [(20_000, 20_100), (20_050, 20_200), (60_000, 60_010)]
    names = [pages.add(0, document, Passage(0, 0, start, stop, text[start:stop])) for start, stop in spans]
    (shown,) = pages.shown()
    pieces = shown["pieces"]
    assert [piece["id"] for piece in pieces if piece.get("id")] == names
    left = [int(piece["text"].split()[0].replace(",", "")) for piece in pieces if piece["kind"] == "gap"]
    assert sum(left) + sum(len(piece["text"]) for piece in pieces if piece["kind"] == "text") == len(text)
    assert len(left) == 3 and pages.id_of(0, 0) == shown["id"] and pages.id_of(0, 1) is None


def test_marks_that_cross_are_closed_in_order_and_cover_what_they_did() -> None:
    text = "0123456789" * 3
    spans = [(5, 12), (3, 20), (5, 8), (10, 25), (25, 30), (5, 12), (0, 2)]
    pages = Pages()
    for start, stop in spans:
        pages.add(0, Document("a", "text", (Page(1, text),), ""), Passage(0, 0, start, stop, text[start:stop]))
    depth, covered, shown, begun = 0, "", "", {}
    for piece in pages.shown()[0]["pieces"]:
        depth += {"open": 1, "close": -1}.get(piece["kind"], 0)
        assert depth >= 0
        if piece.get("id"):
            begun[piece["id"]] = len(shown)
        shown += piece.get("text", "")
        covered += ("x" if depth else "-") * len(piece.get("text", ""))
    assert depth == 0 and shown == text
    assert covered == "".join("x" if any(a <= at < b for a, b in spans) else "-" for at in range(len(text)))
    assert begun == {f"d1-p1-{start}-{stop}": start for start, stop in spans}


def test_a_page_of_ten_megabytes_costs_its_passages_alone() -> None:
    text = "<&>\x00" * 2_500_000
    pages = Pages()
    for start in (0, 5_000_000, len(text) - 9):
        pages.add(
            0, Document("a", "text", (Page(1, text),), ""), Passage(0, 0, start, start + 9, text[start : start + 9])
        )
    assert sum(len(piece.get("text", "")) for piece in pages.shown()[0]["pieces"]) < 40_000


def test_a_hot_page_among_very_many_does_not_fade() -> None:
    heats = [0.5] * 3001
    heats[1234] = 9.0
    columns = heatmap._hottest(heats)
    assert len(columns) == 1000 and columns.count(9.0) == 1 and columns.index(9.0) == 1234 * 1000 // 3001
    assert heatmap._hottest([1.0, 2.0]) == [1.0, 2.0]


def test_a_heat_map_is_a_picture(hip: Run, fake: FakeRuntime, mill: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    book = tmp_path / "book.pdf"
    book.write_bytes(pdf(line("The mill burned."), line("Its owner was Quist .")))
    fake.attends = "Quist"
    assert hip("ask", "-q", "Whose $mill$?", "--heatmap", tmp_path / "r.png", mill, book).code == 0
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "r.png").unlink()
    fake.reads.clear()
    done = hip("summarize", "--heatmap", tmp_path / "r.png", mill)
    assert fake.reads == []
    assert done.code == 1 and "no document has pages" in done.err and not (tmp_path / "r.png").exists()
