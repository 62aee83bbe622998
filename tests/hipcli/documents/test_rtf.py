import pytest

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office import rtf

FONTS = rb"{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial Cyr;}{\f2\fcharset128 MS Gothic;}}"


def read(body: bytes, start: bytes = rb"{\rtf1\ansi\ansicpg1252\deff0" + FONTS, **options: object) -> Content:
    return rtf.read(start + body + b"}", "a.rtf", ReadOptions(**options))  # type: ignore[arg-type]


def text(body: bytes, **options: object) -> str:
    (page,) = read(body, **options).pages
    return page.text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb"l\u228?uft f\u252 ?nf", "läuft fünf"),
        (rb"\uc2\u12354\'82\'a0x", "あx"),
        (rb"\uc0\u228 \u228 x", "ääx"),
        (rb"{\uc2\u228 ??}\u228 ?x", "ääx"),
        (rb"\u-10179?\u-8704?", "\U0001f600"),
        (rb"\'e9\'80", "é€"),
        (rb"\f1 \'c4\'ee\'ec {\f0\'e9}", "Дом é"),
        (rb"\f2 \'83\'4a\'83A", "カア"),
        (rb"a\f2\plain\'e9", "aé"),
        (b"a\r\nb", "ab"),
        (rb"\{\\\}\~x\_y\-z", "{\\} x-yz"),
        (rb"a\tab b\line c\par d\emdash e\bullet", "a\tb\nc\nd—e•"),
        (b"a\\\nb", "a\nb"),
        (rb"{\listtext\'95\tab}item", "•\titem"),
        (rb"a{\*\unknown b}{\*\bkmkstart c}d", "ad"),
        (rb"{\upr{\'3f}{\*\ud{\u321 ?}}}\'f3d\u378 ?", "Łódź"),
        (rb"{\shp{\*\shpinst{\sp{\sn a}{\sv b}}{\shptxt in a box}}}", "in a box"),
        (b"a{\\pict\\bin4 {}}}b}c", "ac"),
    ],
)
def test_characters(body: bytes, expected: str) -> None:
    assert text(body) == expected


def test_default_code_page() -> None:
    content = read(rb"Za\'bf\'f3\'b3\'e6", start=rb"{\rtf1\ansi\ansicpg1250 ")
    assert content.pages[0].text == "Zażółć"
    assert content.encoding is not None and content.encoding.name == "cp1250"


def test_table() -> None:
    body = rb"x\par\trowd\pard\intbl a\cell b\par c\cell\row\trowd\pard\intbl 1\cell\cell\row\pard y"
    assert text(body) == "x\na | b / c\n1\ny"


def test_headings_are_sections() -> None:
    styles = rb"{\stylesheet{\s1 heading 1;}{\s2\outlinelevel1 Mine;}}"
    content = read(styles + rb"\pard top\par\pard\s1 One\par\pard a\par\s2 Two\par\pard b")
    assert content.unit == "section"
    assert [(page.label, page.text) for page in content.pages] == [(None, "top"), ("One", "a"), ("Two", "b")]


def test_notes_stand_where_they_belong() -> None:
    assert text(rb"a{\footnote see b}c{\*\annotation really?}") == "a [footnote: see b]c [comment: really?]"


def test_link_keeps_its_target() -> None:
    assert text(rb'{\field{\*\fldinst HYPERLINK "https://x.org/a"}{\fldrslt here}}.') == "here (https://x.org/a)."


def test_hidden_text_and_furniture_are_said_and_can_be_kept() -> None:
    body = rb"{\header Head\par}a{\v secret}b{\deleted gone}"
    content = read(body)
    assert content.pages[0].text == "ab"
    assert content.dropped == (
        "6 characters of hidden text left out; --hidden keeps them.",
        "4 characters of deleted text left out.",
        "4 characters of heads and feet of pages left out; --keep-running-lines keeps them.",
    )
    assert text(body, hidden=True, running_lines=True) == "Head\nasecretb"


def test_what_is_not_read_is_said() -> None:
    content = read(rb"a{\*\shppict{\pict 00}}{\nonshppict{\pict 00}}{\object{\*\objdata 00}{\result b}}")
    assert content.pages[0].text == "ab"
    assert content.warnings == ("1 picture is not read.", "1 embedded object is not looked into.")


def test_cut_off_is_said() -> None:
    content = rtf.read(rb"{\rtf1 a {\b b", "a.rtf", ReadOptions())
    assert content.pages[0].text == "a b"
    assert content.warnings == ("is cut off: the end of its last group is missing.",)


def test_deep_nesting_is_read() -> None:
    assert text(b"{" * 100_000 + b"deep" + b"}" * 100_000 + b" after") == "deep after"
