from pathlib import Path

import pytest

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.web import html
from tests.read_paths import document


def read(markup: str | bytes, **options: object) -> Content:
    data = markup.encode() if isinstance(markup, str) else markup
    return html.read(data, "a.html", ReadOptions(**options))  # type: ignore[arg-type]


def text(markup: str | bytes, **options: object) -> str:
    """The text of a page without headings."""
    (page,) = read(markup, **options).pages
    return page.text


class TestSections:
    def test_headings_are_labels_and_not_in_the_text(self) -> None:
        content = read("<title>Site</title><p>Before</p><h1>One <i>a</i></h1><p>x</p><h2>Two</h2><p>y</p>")
        assert content.unit == "section"
        assert [(page.number, page.label, page.text) for page in content.pages] == [
            (1, "Site", "Before"),
            (2, "One a", "x"),
            (3, "Two", "y"),
        ]

    def test_title_that_is_no_heading_and_has_no_text_below(self) -> None:
        assert [(page.label, page.text) for page in read("<title>T</title><h1>H</h1>x").pages] == [
            (None, "T"),
            ("H", "x"),
        ]

    def test_title_that_is_a_heading_is_there_once(self) -> None:
        assert [(page.label, page.text) for page in read("<title>H</title><h1>H</h1>x").pages] == [("H", "x")]

    def test_page_of_headings_only(self) -> None:
        assert text("<h1>A</h1><h2>B</h2>") == "A\nB"

    def test_no_headings_is_not_divided(self) -> None:
        content = read("<p>a</p><p>b</p>")
        assert (content.unit, content.pages[0].label, content.pages[0].text) == (None, None, "a\n\nb")

    def test_heading_in_a_cell_is_text(self) -> None:
        assert text("<table><tr><td><h2>Menu</h2><p>Soup</p></td><td>x</td></tr></table>") == "Menu\n\nSoup\nx"


class TestBlocks:
    @pytest.mark.parametrize(
        ("markup", "expected"),
        [
            ("a  b\n c", "a b c"),
            ("<div>a</div><div>b</div>", "a\nb"),
            ("a<br>b<br><br><br>c", "a\nb\n\nc"),
            ("<p>a</p>\n\n<p>b", "a\n\nb"),
            ("<pre>a\n  b\n\n\nc</pre>", "a\n  b\n\n\nc"),
            ("<textarea>a\n b</textarea>", "a\n b"),
            ("<blockquote><p>a</p><p>b</p></blockquote>c", "> a\n\n> b\n\nc"),
            ("a<hr>b", "a\n\nb"),
            ("<dl><dt>t</dt><dd>d</dd></dl>", "t\n  d"),
            ("x&nbsp;y &amp; &lt;z&gt; &eacute; &#x20AC;", "x y & <z> é €"),
            ("soft\xadhyphen", "softhyphen"),
        ],
    )
    def test_flow(self, markup: str, expected: str) -> None:
        assert text(markup) == expected

    @pytest.mark.parametrize(
        ("markup", "expected"),
        [
            ("<ul><li>a<li>b<ul><li>c</ul></ul>", "- a\n- b\n  - c"),
            ("<ol start=3><li>a<li>b</ol>", "3. a\n4. b"),
            ("<ol type=a><li>x<li value=27>y<li>z</ol>", "a. x\naa. y\nab. z"),
            ("<ol type=I><li>x<li value=9>y</ol>", "I. x\nIX. y"),
            ("<ol reversed start=2><li>x<li>y</ol>", "2. x\n1. y"),
            ("<ul><li><p>a</p><p>b</p></li></ul>", "- a\n\n  b"),
        ],
    )
    def test_lists(self, markup: str, expected: str) -> None:
        assert text(markup) == expected


class TestTables:
    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ("<tr><th>a<th>b<tr><td>1<td>2", "a | b\n1 | 2"),
            ("<tr><td>a<td><td>c", "a |  | c"),
            ("<tr><td rowspan=2>Rent<td>May<td>5<tr><td>June<td>6", "Rent | May | 5\nRent | June | 6"),
            ("<tr><td colspan=2>a<td>b<tr><td>1<td>2<td>3", "a |  | b\n1 | 2 | 3"),
            ("<tr><td>Street<br>City<td>x", "Street / City | x"),
            ("<tr><td>only<br>one", "only\none"),
        ],
    )
    def test_rows(self, rows: str, expected: str) -> None:
        assert text(f"<table>{rows}</table>") == expected

    def test_layout_is_not_one_line(self) -> None:
        assert text("<table><tr><td><p>a</p><p>b</p><td><p>c</p></table>") == "a\n\nb\nc"


class TestWithinLines:
    @pytest.mark.parametrize(
        ("markup", "expected"),
        [
            ('<a href="https://x.org/a">here</a>', "here (https://x.org/a)"),
            ('<a href="https://x.org/">x.org</a>', "x.org"),
            ('<a href="/relative">here</a> <a href="#n">there</a>', "here there"),
            ('<a href="mailto:a@x.org">Ann</a>', "Ann (a@x.org)"),
            ('<a href="javascript:f()">go</a>', "go"),
            (
                "10<sup>6</sup> x<sup>n+1</sup> H<sub>2</sub>O 1<sup>st</sup> as<sup>[3]</sup>",
                "10^6 x^(n+1) H2O 1st as[3]",
            ),
            ("<del>old</del> new <q>said</q>", '~~old~~ new "said"'),
            ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>", "漢(かん)"),
            ('<img src=x alt="A chart">', "[image: A chart]"),
            ("<button>a</button><button>b</button>", "a b"),
        ],
    )
    def test_marks(self, markup: str, expected: str) -> None:
        assert text(markup) == expected

    @pytest.mark.parametrize(
        ("markup", "expected"),
        [
            ("<input value=Ann> <input type=checkbox checked> yes <input type=radio> no", "Ann [x] yes [ ] no"),
            ("<select><option>a<option selected>b</select>", "b"),
            ("<input type=hidden value=s><input type=password value=p>x", "x"),
        ],
    )
    def test_forms(self, markup: str, expected: str) -> None:
        assert text(markup) == expected

    @pytest.mark.parametrize(
        ("markup", "expected"),
        [
            ("<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math>", "1/2"),
            ("<math><msup><mi>x</mi><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msup></math>", "x^(n+1)"),
            ("<math><msqrt><mn>2</mn></msqrt></math>", "sqrt(2)"),
            (r'<math alttext="\alpha"><mi>α</mi></math>', r"$\alpha$"),
        ],
    )
    def test_formulas(self, markup: str, expected: str) -> None:
        assert text(markup) == expected


class TestLeftOut:
    def test_hidden_text_is_said_and_can_be_kept(self) -> None:
        markup = (
            'all that is shown<p hidden>one</p><p style="color:red; DISPLAY : none">two</p><template>three</template>'
        )
        content = read(markup)
        assert content.pages[0].text == "all that is shown"
        assert content.dropped == ("11 characters that a browser would hide left out; --hidden keeps them.",)
        assert text(markup, hidden=True) == "all that is shown\n\none\n\ntwo\n\nthree"

    def test_script_and_style_are_no_text(self) -> None:
        content = read("<style>a{}</style><script>var a = '<p>no</p>'</script><noscript>yes</noscript>")
        assert (content.pages[0].text, content.dropped) == ("yes", ())

    def test_navigation_is_said_and_can_be_kept(self) -> None:
        markup = "<nav><a href=/a>Home</a> <a href=/b>About</a></nav><p>Text</p>"
        content = read(markup)
        assert content.pages[0].text == "Text"
        assert content.dropped == ("10 characters of navigation left out; --keep-running-lines keeps them.",)
        assert text(markup, running_lines=True) == "Home About\n\nText"

    def test_navigation_that_says_something_is_kept(self) -> None:
        assert text("<nav>You need <a href=/a>a form</a> for this.</nav>") == "You need a form for this."

    def test_page_of_navigation_only_is_kept(self) -> None:
        content = read("<nav><a href=/a>Home</a></nav>")
        assert (content.pages[0].text, content.dropped) == ("Home", ())

    @pytest.mark.parametrize("tag", ["header", "footer", "aside"])
    def test_other_furniture_is_kept(self, tag: str) -> None:
        assert text(f"<{tag}>a</{tag}>b") == "a\n\nb"

    def test_text_that_a_script_would_show_is_read(self) -> None:
        content = read("<div style='display:none'>The whole article</div>x")
        assert content.pages[0].text == "The whole article\nx"
        assert content.warnings == ("hides most of its text (17 characters) at first; it is read.",)

    def test_what_is_embedded_is_said(self) -> None:
        content = read("a<img src=x><img src=y alt=''><iframe src=z></iframe><video src=v></video>")
        assert content.warnings == (
            "1 picture without a text in its place is not read.",
            "1 page embedded in a frame is not read.",
            "1 embedded sound, film or object is not read.",
        )

    def test_page_that_scripts_make(self) -> None:
        content = read(f"Loading<script>{'x' * 10_000}</script>")
        assert content.warnings == ("has little text of its own: its scripts, which are not run, may make the rest.",)


class TestXhtml:
    START = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">'

    def test_elements_closed_at_once_do_not_swallow_the_rest(self) -> None:
        markup = f'{self.START}<head><title/><script src="x"/></head><body><p hidden=""/><a id="x"/>all</body></html>'
        assert text(markup) == "all"

    def test_cdata_is_text(self) -> None:
        assert text(f"{self.START}<p><![CDATA[a < b > c]]></p></html>") == "a < b > c"


class TestEncodings:
    def test_declared(self) -> None:
        data = '<meta charset="windows-1251"><p>Договор</p>'.encode("cp1251")
        content = read(data)
        assert content.pages[0].text == "Договор"
        assert content.encoding is not None and (content.encoding.name, content.encoding.how) == ("cp1251", "declared")

    def test_latin_1_means_windows_1252(self) -> None:
        assert (
            text(b'<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">\x93a\x94 \x80') == "“a” €"
        )

    def test_asked_for_wins(self) -> None:
        assert text('<meta charset="utf-8">é'.encode("latin-1"), encoding="latin-1") == "é"

    def test_byte_order_mark_wins(self) -> None:
        assert text('<meta charset="latin-1">é'.encode("utf-8-sig")) == "é"

    def test_wrong_declaration_is_said(self) -> None:
        content = read('<meta charset="iso-8859-1">für'.encode())
        assert content.pages[0].text == "für"
        assert content.warnings == ("declares the encoding iso-8859-1, but is in UTF-8, and is read as that.",)

    def test_bytes_that_do_not_fit_are_said(self) -> None:
        content = read(b'<meta charset="shift_jis">' + "契約書の期間".encode("cp932") + b"\x81")
        assert content.pages[0].text == "契約書の期間\ufffd"
        assert content.warnings == (
            "1 place that is not valid shift_jis, as declared, the first at byte 38: read as U+FFFD.",
        )


@pytest.mark.parametrize("tag", ["div", "span", "table><tr><td", "ul><li", "nav", "p hidden", "template"])
def test_deep_nesting_is_read(tag: str) -> None:
    content = read(f"<{tag}>" * 20_000 + "deep text", hidden=True, running_lines=True)
    assert content.pages[0].text.strip("->\n ") == "deep text"


def test_depth_does_not_cost_its_square() -> None:
    assert text("<div>" * 100_000 + "deep" + "</div>" * 100_000 + "after").split() == ["deep", "after"]


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "a.htm"
    path.write_text("<p>Hello")
    read_one = document(path)
    assert (read_one.kind, read_one.reader, read_one.pages[0].text) == ("html", "selectolax", "Hello")
