"""OpenDocument texts and presentations, and the old office formats that are refused by name."""

import pytest
from office_files import compound_file, element, open_document, package

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office import old_office, opendocument
from hipcli.errors import HipError


def _tags(inner: str, *names: str) -> str:
    """`inner` inside elements with these names, the outermost first."""
    for name in reversed(names):
        inner = f"<{name}>{inner}</{name}>"
    return inner


def _read(body: str, kind: str = "text", automatic: str = "", hidden: bool = False, **parts: str) -> Content:
    data = open_document(kind, body, automatic, {f"{name}.xml": content for name, content in parts.items()})
    return opendocument.read(data, "a.odt", ReadOptions(hidden=hidden))


def _text(body: str, **parts: str) -> str:
    return _read(body, **parts).pages[0].text


def test_headings_become_sections() -> None:
    content = _read(
        '<text:p>a</text:p><text:h text:outline-level="2">Part</text:h><text:p>b<text:s text:c="2"/>c</text:p>'
    )
    assert content.unit == "section"
    assert [(page.label, page.text) for page in content.pages] == [(None, "a"), ("Part", "b  c")]


def test_lists_are_numbered_and_nested() -> None:
    levels = (
        '<text:list-level-style-number text:level="1" style:num-format="1" style:num-suffix="."/>'
        '<text:list-level-style-bullet text:level="2"/>'
    )
    styles = f'<text:list-style style:name="L">{levels}</text:list-style>'
    inner = "<text:list><text:list-item><text:p>b</text:p></text:list-item></text:list>"
    body = (
        f'<text:list text:style-name="L"><text:list-item><text:p>a</text:p>{inner}</text:list-item>'
        "<text:list-item><text:p>c</text:p></text:list-item></text:list>"
    )
    assert _read(body, automatic=styles).pages[0].text == "1. a\n  - b\n2. c"


def test_tables_notes_comments_and_links_are_read() -> None:
    cells = "".join(_tags(text, "table:table-cell", "text:p") for text in "12")
    row = f"<table:table-row>{cells}</table:table-row>"
    note = (
        f"<text:note><text:note-citation>1</text:note-citation>{_tags('below', 'text:note-body', 'text:p')}</text:note>"
    )
    comment = "<dc:creator>Ann</dc:creator><dc:date>2024</dc:date><text:p>Why?</text:p>"
    comment = f"<office:annotation>{comment}</office:annotation>"
    link = '<text:a xlink:href="https://a.example/">here</text:a>'
    body = f"<text:p>claim{note}{comment} {link}.</text:p><table:table>{row}</table:table>"
    assert _text(body) == "claim[^1] [comment by Ann: Why?] here (https://a.example/).\n1 | 2\n[^1]: below"


def test_deletions_are_left_out_and_said() -> None:
    changes = _tags("gone", "text:tracked-changes", "text:changed-region", "text:deletion", "text:p")
    content = _read(f"{changes}<text:p>kept</text:p>")
    assert content.pages[0].text == "kept"
    assert content.dropped == ("its text is read with the tracked changes made: 1 deletion was left out.",)


def test_hidden_text_is_left_out_and_said_or_read_when_asked() -> None:
    styles = '<style:style style:name="H"><style:text-properties text:display="none"/></style:style>'
    section = '<text:section text:display="none"><text:p>no</text:p></text:section>'
    body = f'<text:p>seen<text:span text:style-name="H"> not</text:span></text:p>{section}'
    content = _read(body, automatic=styles)
    assert content.pages[0].text == "seen" and content.dropped == ("6 characters of hidden text were left out.",)
    assert _read(body, automatic=styles, hidden=True).pages[0].text == "seen not\nno"


def test_frames_hold_text_and_pictures() -> None:
    box = "<draw:frame><draw:text-box><text:p>boxed</text:p></draw:text-box></draw:frame>"
    picture = '<draw:frame><draw:image xlink:href="Pictures/a.png"/></draw:frame>'
    content = _read(f"<text:p>around{box}{picture}</text:p>")
    assert content.pages[0].text == "around\nboxed" and content.warnings == ("1 picture was not read.",)


def test_headers_and_footers_are_read_once() -> None:
    header, number = _tags("ACME", "style:header", "text:p"), _tags("3", "style:footer", "text:p", "text:page-number")
    page = f"<style:master-page>{header}{number}</style:master-page>"
    styles = element("office:document-styles", f"<office:master-styles>{page}{page}</office:master-styles>")
    assert _text("<text:p>text</text:p>", styles=styles) == "[header: ACME]\ntext"


def test_slides_have_titles_notes_and_are_read_though_hidden() -> None:
    styles = (
        '<style:style style:name="d"><style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
    )
    title = '<draw:frame presentation:class="title"><draw:text-box><text:p>Plan</text:p></draw:text-box></draw:frame>'
    shape = "<draw:custom-shape><text:p>body</text:p></draw:custom-shape>"
    notes = _tags("say", "presentation:notes", "draw:frame", "draw:text-box", "text:p")
    content = _read(f'<draw:page draw:style-name="d">{title}{shape}{notes}</draw:page>', "presentation", styles)
    assert content.unit == "slide"
    assert [(page.label, page.text) for page in content.pages] == [("Plan", "body\n[notes]\nsay")]
    assert content.warnings == ("slides that are hidden when the presentation is shown were read: 1.",)


def test_protected_and_damaged_files_are_refused() -> None:
    manifest = "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    with pytest.raises(HipError, match=r"^a\.odt: is protected by a password"):
        _read("", **{"META-INF/manifest": manifest})
    with pytest.raises(HipError, match=r"^a\.odt: is damaged \(content\.xml is missing\)"):
        opendocument.read(package({"mimetype": "x"}), "a.odt", ReadOptions())
    with pytest.raises(HipError, match="nested too deep"):
        _read("<text:section>" * 2000 + "</text:section>" * 2000)


@pytest.mark.parametrize(
    ("stream", "what", "hint"),
    [
        ("WordDocument", "is a document of Word 97-2003 (.doc)", "docx"),
        ("PowerPoint Document", "is a presentation of PowerPoint 97-2003 (.ppt)", "pptx"),
        ("__properties_version1.0", "is a message of Outlook (.msg)", ".eml"),
        ("EncryptedPackage", "is protected by a password", "without a password"),
        ("Something", "is a compound file (OLE) of an unknown format", "PDF"),
    ],
)
def test_compound_files_are_refused_by_name(stream: str, what: str, hint: str) -> None:
    with pytest.raises(HipError) as caught:
        old_office.read(compound_file(stream), "a.doc", ReadOptions())
    assert caught.value.message.startswith(f"a.doc: {what}")
    assert caught.value.hint is not None and hint in caught.value.hint


def test_a_damaged_compound_file_is_refused() -> None:
    with pytest.raises(HipError, match=r"^a\.doc: is a damaged office file"):
        old_office.read(compound_file("WordDocument")[:600], "a.doc", ReadOptions())
