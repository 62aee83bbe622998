"""Word documents: nothing that a reader of the document sees is lost."""

from pathlib import Path
from typing import Any

import pytest
from office_files import docx, element, package, paragraph

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office import word
from hipcli.errors import HipError

_STYLES = element(
    "w:styles",
    '<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:type="paragraph" w:styleId="Sub"><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>'
    '<w:style w:type="character" w:styleId="Secret"><w:rPr><w:vanish/></w:rPr></w:style>',
)
_HEADING = '<w:pStyle w:val="Sub"/>'


def _read(body: str, hidden: bool = False, **parts: Any) -> Content:
    """The document with this body. `parts` are XML of parts by the kind of their relationship to it."""
    xml = {"styles": _STYLES, **parts}
    related = {kind: (kind, f"{kind}.xml") for kind in xml}
    data = docx(body, related, {f"word/{kind}.xml": content for kind, content in xml.items()})
    return word.read(data, "a.docx", ReadOptions(hidden=hidden))


def _text(body: str, **parts: Any) -> str:
    content = _read(body, **parts)
    assert content.unit is None
    return content.pages[0].text


def _run(inner: str, properties: str = "") -> str:
    return f"<w:r><w:rPr>{properties}</w:rPr>{inner}</w:r>"


def _table(*rows: list[str]) -> str:
    cells = (f"<w:tr>{''.join(f'<w:tc>{cell}</w:tc>' for cell in row)}</w:tr>" for row in rows)
    return f"<w:tbl>{''.join(cells)}</w:tbl>"


def test_paragraphs_and_tables_stand_in_the_order_of_the_document() -> None:
    rows = _table(
        [paragraph("a"), paragraph("b") + paragraph("c")], [paragraph(""), paragraph("d")], [paragraph("")] * 2
    )
    body = paragraph("before") + rows + paragraph("after")
    assert _text(body) == "before\na | b / c\nd\nafter"


def test_a_table_inside_a_table_is_read() -> None:
    inner = _table([paragraph("1"), paragraph("2")], [paragraph("3"), paragraph("4")])
    assert _text(_table([inner])) == "1 | 2\n3 | 4"
    assert _text(_table([paragraph("left"), inner])) == "left | 1 | 2 / 3 | 4"


def test_headings_become_sections_and_stand_in_their_label_only() -> None:
    content = _read(
        paragraph("opening") + paragraph("Part One", _HEADING) + paragraph("text") + paragraph("Two", _HEADING)
    )
    assert content.unit == "section"
    assert [(page.label, page.text) for page in content.pages] == [(None, "opening"), ("Part One", "text"), ("Two", "")]


def test_a_document_of_headings_alone_is_one_text() -> None:
    assert _text(paragraph("One", _HEADING) + paragraph("Two", _HEADING)) == "One\nTwo"


def test_list_marks_and_numbers_of_headings_are_counted() -> None:
    levels = (
        '<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%1."/></w:lvl>'
        '<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1%2)"/></w:lvl>'
    )
    bullets = '<w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="\uf0b7"/></w:lvl>'
    numbering = element(
        "w:numbering",
        f'<w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
        f'<w:abstractNum w:abstractNumId="1">{bullets}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>'
        '<w:num w:numId="3"><w:abstractNumId w:val="0"/>'
        '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num>',
    )

    def item(text: str, number: int, level: int = 0) -> str:
        properties = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'
        return paragraph(text, properties)

    items = (
        item("a", 1) + item("b", 1, 1) + item("c", 1, 1) + item("d", 1) + item("e", 1, 1) + item("f", 2) + item("g", 3)
    )
    assert _text(items, numbering=numbering) == "I. a\n  Ia) b\n  Ib) c\nII. d\n  IIa) e\n- f\nVII. g"


def test_footnotes_stand_at_the_end_of_their_section_and_comments_in_place() -> None:
    footnotes = element(
        "w:footnotes", f'<w:footnote w:id="0"/><w:footnote w:id="5">{paragraph("See the annex.")}</w:footnote>'
    )
    comments = element("w:comments", f'<w:comment w:id="2" w:author="Ann">{paragraph("Why?")}</w:comment>')
    body = (
        paragraph("One", _HEADING)
        + f'<w:p>{_run("<w:t>Claim</w:t>")}{_run("""<w:footnoteReference w:id="5"/>""")}'
        + f'{_run("""<w:commentReference w:id="2"/>""")}</w:p>'
        + paragraph("Two", _HEADING)
        + paragraph("more")
    )
    content = _read(body, footnotes=footnotes, comments=comments)
    assert [page.text for page in content.pages] == ["Claim[^1] [comment by Ann: Why?]\n[^1]: See the annex.", "more"]


def test_headers_and_footers_are_read_once_without_mere_page_numbers() -> None:
    page_field = '<w:fldSimple w:instr=" PAGE "><w:r><w:t>1</w:t></w:r></w:fldSimple>'
    parts = {
        "word/h.xml": element("w:hdr", paragraph("Confidential")),
        "word/f1.xml": element("w:ftr", f"<w:p>{page_field}</w:p>"),
        "word/f2.xml": element("w:ftr", f"<w:p>{_run('<w:t>Page </w:t>')}{page_field}</w:p>"),
    }
    related = {
        "h": ("header", "h.xml"), "again": ("header", "h.xml"), "f1": ("footer", "f1.xml"), "f2": ("footer", "f2.xml"),
    }  # fmt: skip
    references = (
        '<w:headerReference r:id="h"/><w:headerReference r:id="again"/><w:footerReference r:id="f1"/>'
        '<w:footerReference r:id="f2"/>'
    )
    data = docx(paragraph("text") + f"<w:sectPr>{references}</w:sectPr>", related, parts)
    content = word.read(data, "a.docx", ReadOptions())
    assert content.pages[0].text == "[header: Confidential]\ntext\n[footer: Page #]"


def test_tracked_changes_are_read_as_made_and_deletions_said() -> None:
    deleted = _run("<w:delText>two</w:delText>")
    body = f"<w:p><w:del>{deleted}</w:del><w:ins>{_run('<w:t>three</w:t>')}</w:ins>{_run('<w:t> days</w:t>')}</w:p>"
    content = _read(body)
    assert content.pages[0].text == "three days"
    assert content.dropped == ("its text is read with the tracked changes made: 1 deletion was left out.",)


def test_hidden_text_is_left_out_and_said_or_read_when_asked() -> None:
    hidden = _run("<w:t>hidden</w:t>", "<w:vanish/>") + _run("<w:t>styled</w:t>", '<w:rStyle w:val="Secret"/>')
    seen = _run("<w:t>seen </w:t>", '<w:vanish w:val="0"/>')
    body = f"<w:p>{seen}{hidden}</w:p>"
    content = _read(body)
    assert content.pages[0].text == "seen"
    assert content.dropped == ("12 characters of hidden text were left out.",)
    asked = _read(body, hidden=True)
    assert asked.pages[0].text == "seen hiddenstyled"
    assert asked.warnings == ("12 characters of hidden text were read.",)


def test_white_and_tiny_text_is_read_and_said_but_not_on_dark_ground() -> None:
    white, tiny = '<w:color w:val="FFFFFF"/>', '<w:sz w:val="2"/>'
    shaded = _table([paragraph("")]).replace("<w:tc>", '<w:tc><w:tcPr><w:shd w:fill="000000"/></w:tcPr>')
    dark = shaded.replace("<w:t xml", f"<w:rPr>{white}</w:rPr><w:t xml").replace("></w:t>", ">on black</w:t>")
    content = _read(f"<w:p>{_run('<w:t>abc</w:t>', white)}{_run('<w:t>de</w:t>', tiny)}</w:p>{dark}")
    assert content.pages[0].text == "abcde\non black"
    assert content.warnings == ("5 characters of white or tiny text were read, which a viewer does not show.",)


def test_a_text_box_is_read_once_though_it_is_written_twice() -> None:
    box = f"<w:txbxContent>{paragraph('in the box')}</w:txbxContent>"
    drawing = (
        f"<mc:AlternateContent><mc:Choice><w:drawing><wps:txbx>{box}</wps:txbx></w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback></mc:AlternateContent>"
    )
    assert _text(f"<w:p>{_run('<w:t>around</w:t>')}{_run(drawing)}</w:p>") == "around\nin the box"


def test_content_controls_links_fields_and_forms_are_read() -> None:
    control = f"<w:sdt><w:sdtPr><w:alias/></w:sdtPr><w:sdtContent>{paragraph('control')}</w:sdtContent></w:sdt>"
    link = f'<w:p><w:hyperlink r:id="site">{_run("<w:t>the site</w:t>")}</w:hyperlink></w:p>'
    field = (
        '<w:fldChar w:fldCharType="begin"/><w:instrText>HYPERLINK "https://b.example/"</w:instrText>'
        '<w:fldChar w:fldCharType="separate"/><w:t>b</w:t><w:fldChar w:fldCharType="end"/>'
    )
    box = (
        '<w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData>'
        '</w:fldChar><w:instrText>FORMCHECKBOX</w:instrText><w:fldChar w:fldCharType="end"/><w:t>agreed</w:t>'
    )
    body = control + link + f"<w:p>{_run(field)}</w:p><w:p>{_run(box)}</w:p>"
    data = docx(body, {"site": ("hyperlink", "https://a.example/x")})
    text = word.read(data, "a.docx", ReadOptions()).pages[0].text
    assert text == "control\nthe site (https://a.example/x)\nb (https://b.example/)\n☒ agreed"


def test_equations_are_read_as_text() -> None:
    fraction = "<m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f>"
    power = "<m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>"
    assert _text(f"<w:p><m:oMath>{fraction}<m:r><m:t>=</m:t></m:r>{power}</m:oMath></w:p>") == "(a+b)/2=x^2"


def test_pictures_are_counted_and_embedded_files_are_members() -> None:
    inline = '<wp:docPr descr="A map of the site"/><a:graphic><pic:pic/></a:graphic>'
    picture = f"<w:drawing><wp:inline>{inline}</wp:inline></w:drawing>"
    parts: dict[str, str | bytes] = {"word/embeddings/budget.xlsx": b"PK inner", "word/embeddings/oleObject1.bin": b"?"}
    content = word.read(docx(f"<w:p>{_run(picture)}{_run(picture)}</w:p>", {}, parts), "a.docx", ReadOptions())
    assert content.pages[0].text == "[picture: A map of the site][picture: A map of the site]"
    assert content.warnings == ("1 embedded object was not read.", "2 pictures were not read.")
    assert [(member.name, member.read()) for member in content.members] == [("budget.xlsx", b"PK inner")]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (docx(paragraph("text"))[:-40], "is damaged"),
        (package({"[Content_Types].xml": "", "word/document.xml": "<w:document"}), "is damaged"),
        (package({"word/styles.xml": "<a/>"}), "is damaged (word/document.xml is missing)"),
        (package({"word/document.xml": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}), "defines XML entities"),
        (
            package({"word/document.xml": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'}),
            "entities",
        ),
        (package({"word/document.xml": '<?xml version="1.0" encoding="no-such"?><a/>'}), "is damaged"),
        (docx("<w:tbl><w:tr><w:tc>" * 2000 + "</w:tc></w:tr></w:tbl>" * 2000), "is nested too deep"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(data: bytes, what: str) -> None:
    with pytest.raises(HipError) as caught:
        word.read(data, "a.docx", ReadOptions())
    assert caught.value.message.startswith("a.docx: ") and what in caught.value.message
    assert caught.value.hint


def test_a_part_that_unpacks_to_more_than_memory_allows_is_refused() -> None:
    data = docx(" " * (20 << 20))
    with pytest.raises(HipError, match="20 MiB unpacked"):
        word.read(data, "a.docx", ReadOptions(memory=256))


def test_public_word_file_is_read() -> None:
    path = Path(__file__).parents[4] / "shared/data/cases/01-office-files-skipped/test.docx"
    if not path.exists():
        pytest.skip("the shared cases are not here")
    content = word.read(path.read_bytes(), "test.docx", ReadOptions())
    assert "AutoGen: Enabling Next-Gen LLM Applications via Multi-Agent Conversation" in content.pages[0].label
