"""Pages that PDFium reads badly, and files that it cannot open."""

import logging
import zlib

import pypdf
import pypdfium2
import pytest
from pdf_files import line
from pdf_files import pdf as hand_made

from hipcli.documents.document import Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pdf import other_readers, pdf
from hipcli.documents.readers.pdf.pdfium import PdfiumPage, UnreadableError, open_document
from hipcli.errors import HipError
from tests.data.make_pdf import make_pdf

TEXT_ALONE = "only its text could be read: form fields, notes, attached files and hidden text were not looked for."


def read_pdf(data: bytes, where: str, **options: object) -> tuple[tuple[Page, ...], tuple[str, ...]]:
    """Pages and warnings, without recognising pictures."""
    content = pdf.read(data, where, ReadOptions(**{"ocr": "off", **options}))  # type: ignore[arg-type]
    return content.pages, content.warnings


def texts(data: bytes, **options: object) -> list[str]:
    return [page.text for page in read_pdf(data, "x.pdf", **options)[0]]  # type: ignore[arg-type]


@pytest.fixture
def no_pdfium(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes, password: str | None) -> pypdfium2.PdfDocument:
        raise UnreadableError

    monkeypatch.setattr(pdf, "open_document", refuse)


class TestWrittenAnew:
    """A file that PDFium cannot open, and can once pypdf has written it anew."""

    @pytest.fixture(autouse=True)
    def opens_only_what_pypdf_wrote(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first: list[bytes] = []

        def refuse(data: bytes, password: str | None) -> pypdfium2.PdfDocument:
            first.append(data)
            if data == first[0]:
                raise UnreadableError
            return open_document(data, password)

        monkeypatch.setattr(pdf, "open_document", refuse)

    def test_all_of_it_is_read(self) -> None:
        fields = [
            "/Subtype /Widget /FT /Tx /T (name) /V (Ada) /Rect [300 600 400 620]",
            "/Subtype /Text /Rect [300 500 320 520] /Contents (too high)",
            "/Subtype /FileAttachment /Rect [9 9 20 20] /FS 100 0 R",
        ]
        objects = {100: "<< /Type /Filespec /F (a.txt) /EF << /F 101 0 R >> >>", 101: ("", b"in a file")}
        drawn = line("shown") + line("no one sees it", y=-300)
        data = hand_made(drawn, annotations=fields, catalog="/AcroForm << /Fields [50 0 R] >>", objects=objects)
        content = pdf.read(data, "x.pdf", ReadOptions(ocr="off"))
        assert content.pages[0].text == "shown\n[form: name = Ada]\n[note: too high]"
        assert [(member.name, member.read()) for member in content.members] == [("a.txt", b"in a file")]
        assert (content.reader, content.warnings) == ("pypdf, then pdfium", ())
        assert "outside the page" in content.dropped[0]

    def test_with_its_password(self) -> None:
        data = make_pdf([["secret"], ["more"]], user_password="user")
        assert texts(data, password="user", pages="2") == ["more"]


class TestSecondLook:
    @pytest.fixture
    def lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pdf, "read_page", lambda document, index, *_: PdfiumPage(index + 1, lost=True))

    def test_each_page_may_take_as_long_as_a_document(self, lost: None, monkeypatch: pytest.MonkeyPatch) -> None:
        beats = []
        monkeypatch.setattr(other_readers, "beat", lambda: beats.append(1))
        assert texts(make_pdf([["one"], ["two"], ["three"]])) == ["one", "two", "three"]
        assert len(beats) == 3

    def test_pages_for_which_there_is_no_time_are_said(self, lost: None, monkeypatch: pytest.MonkeyPatch) -> None:
        now = iter(range(0, 1000, 50))
        monkeypatch.setattr(other_readers, "monotonic", lambda: next(now))
        pages, warnings = read_pdf(make_pdf([["one"], ["two"], ["three"], ["four"]]), "x.pdf", seconds=110.0)
        assert [page.text for page in pages] == ["one", "two", "", ""]
        assert warnings == (
            "pages 3-4 cannot be read: the file is damaged.",
            "pages 3-4 might be read better by another library, for which there was no time: see --read-seconds.",
        )

    def test_what_pdfminer_says_of_pages_that_it_reads(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        damaged = zlib.compress(b"".join(line(f"line {i}", y=700 - 20 * i).encode() for i in range(9)))[:-1] + b"?"
        data = hand_made("", objects={11: ("/Filter /FlateDecode", damaged)})
        incomplete = PdfiumPage(1, text="line", incomplete=True)
        monkeypatch.setattr(pdf, "read_page", lambda *_: incomplete)
        content = pdf.read(data, "x.pdf", ReadOptions(ocr="off"))
        assert content.pages[0].text.startswith("line 0\nline 1")
        assert content.warnings == ("page 1, read by pdfminer.six: Data-loss while decompressing corrupted data.",)
        assert not caplog.records


@pytest.mark.usefixtures("no_pdfium")
class TestFallback:
    def test_reads_as_pdfium_would(self) -> None:
        pages, warnings = read_pdf(make_pdf([["ﬁrst posses-", "sion"], ["possession"]], roman_pages=1), "x.pdf")
        assert [(page.number, page.label, page.text) for page in pages] == [
            (1, "i", "first possession"),
            (2, "1", "possession"),
        ]
        assert warnings == (TEXT_ALONE,)

    def test_no_labels_and_selected_pages(self) -> None:
        pages, _ = read_pdf(make_pdf([["one"], ["two"]]), "x.pdf", pages="2")
        assert [(page.number, page.label, page.text) for page in pages] == [(2, None, "two")]

    def test_faults_become_a_warning_and_not_a_line_on_stderr(
        self, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        data = make_pdf([["one"]])
        start = data.rindex(b"startxref")
        pages, warnings = read_pdf(data[:start] + b"startxref\n7\n%%EOF\n", "x.pdf")
        assert pages[0].text == "one"
        damaged, text_alone = warnings
        assert "damaged" in damaged and "\n" not in damaged
        assert text_alone == TEXT_ALONE
        assert capfd.readouterr() == ("", "")
        assert not caplog.records
        assert logging.getLogger("pypdf").propagate

    def test_anything_pypdf_raises_is_one_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def recurse(page: object) -> str:
            raise RecursionError

        monkeypatch.setattr(pypdf.PageObject, "extract_text", recurse)
        with pytest.raises(HipError, match="damaged"):
            read_pdf(make_pdf([["one"]]), "x.pdf")
