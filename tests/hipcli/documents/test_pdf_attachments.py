"""Files inside a PDF."""

import pytest
from pdf_files import line, pdf

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pdf import pdf_attachments
from hipcli.documents.readers.pdf.pdf import read
from hipcli.errors import HipError


def read_pdf(data: bytes) -> Content:
    return read(data, "x.pdf", ReadOptions(ocr="off"))


def names(*files: tuple[str, int]) -> str:
    return f"/Names << /EmbeddedFiles << /Names [{' '.join(f'({name}) {number} 0 R' for name, number in files)}] >> >>"


def specification(name: str, number: int) -> str:
    return f"<< /Type /Filespec /F ({name}) /UF ({name}) /EF << /F {number} 0 R >> >>"


TEXT = ("/Type /EmbeddedFile", b"in a file")


def test_of_the_document() -> None:
    objects = {100: specification("a.txt", 101), 101: TEXT, 102: specification("b.txt", 103), 103: ("", b"b")}
    data = pdf(line("cover"), catalog=names(("a.txt", 100), ("b.txt", 102)), objects=objects)
    members = read_pdf(data).members
    assert [(member.name, member.read()) for member in members] == [("a.txt", b"in a file"), ("b.txt", b"b")]


def test_on_a_page_also_beside_a_stamp() -> None:
    stamp = ("/Type /XObject /Subtype /Form /BBox [0 0 9 9]", b"")
    annotations = [
        "/Subtype /Stamp /Rect [0 0 9 9] /AP << /N 102 0 R >>",
        "/Subtype /FileAttachment /Rect [9 9 20 20] /FS 100 0 R",
    ]
    objects = {100: specification("a.txt", 101), 101: TEXT, 102: stamp}
    (member,) = read_pdf(pdf(line("cover"), annotations=annotations, objects=objects)).members
    assert (member.name, member.read()) == ("a.txt", b"in a file")


def test_names_are_made_safe_and_told_apart() -> None:
    objects = {100: specification("../a.txt", 101), 101: TEXT, 102: specification("a.txt", 101)}
    members = read_pdf(pdf(line("cover"), catalog=names(("x", 100), ("y", 102)), objects=objects)).members
    assert [member.name for member in members] == ["a.txt", "a (2).txt"]


def test_named_in_one_way_and_kept_in_another() -> None:
    objects = {100: "<< /Type /Filespec /UF (a.txt) /EF << /F 101 0 R >> >>", 101: TEXT}
    (member,) = read_pdf(pdf(line("cover"), catalog=names(("a.txt", 100)), objects=objects)).members
    assert (member.name, member.read()) == ("a.txt", b"in a file")


def test_each_of_the_same_name_has_its_own_content() -> None:
    objects: dict[int, str | tuple[str, bytes]] = {
        100 + i: f"<< /Type /Filespec /UF (a.txt) /EF << /F {110 + i} 0 R >> >>" for i in range(2)
    }
    objects |= {110: ("", b"one"), 111: ("", b"two")}
    members = read_pdf(pdf(line("cover"), catalog=names(("x", 100), ("y", 101)), objects=objects)).members
    assert [member.read() for member in members] == [b"one", b"two"]


def test_named_in_one_way_and_kept_in_another_on_a_page() -> None:
    objects = {100: "<< /Type /Filespec /UF (a.txt) /EF << /F 101 0 R >> >>", 101: TEXT}
    data = pdf(line("cover"), annotations=["/Subtype /FileAttachment /Rect [9 9 20 20] /FS 100 0 R"], objects=objects)
    assert [member.read() for member in read_pdf(data).members] == [b"in a file"]


def test_those_beyond_the_most_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_attachments, "_MOST", 2)
    objects = {100: specification("a.txt", 101), 101: TEXT}
    content = read_pdf(pdf(line("cover"), catalog=names(*((str(i), 100) for i in range(3))), objects=objects))
    assert len(content.members) == 2
    assert content.warnings == ("3 files are attached to it, of which the first 2 were read.",)


def test_one_that_is_missing_is_an_error_of_its_own() -> None:
    objects = {100: specification("a.txt", 101)}
    content = read_pdf(pdf(line("cover"), catalog=names(("a.txt", 100)), objects=objects))
    assert content.pages[0].text == "cover"
    with pytest.raises(HipError, match=r"a\.txt: the attached file cannot be taken out of the PDF"):
        content.members[0].read()
