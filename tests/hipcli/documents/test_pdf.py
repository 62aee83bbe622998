import runpy
import time
from pathlib import Path

import pypdf
import pypdfium2
import pytest

from hipcli.documents.document import Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.page_ranges import format_page_ranges, parse_page_ranges
from hipcli.documents.readers.pdf import pdf
from hipcli.errors import ExitCode, HipError

ROOT = Path(__file__).parents[3]
make_pdf = runpy.run_path(str(ROOT / "tests/data/make_pdf.py"))["make_pdf"]
REAL = ROOT.parent / "shared/data/pdf"
real = pytest.mark.skipif(not REAL.is_dir(), reason="no shared data here")


def read_pdf(data: bytes, where: str, **options: object) -> tuple[tuple[Page, ...], tuple[str, ...]]:
    """Pages and warnings, without recognising pictures."""
    content = pdf.read(data, where, ReadOptions(**{"ocr": "off", **options}))  # type: ignore[arg-type]
    return content.pages, content.warnings


def texts(data: bytes, **options: object) -> list[str]:
    return [page.text for page in read_pdf(data, "x.pdf", **options)[0]]  # type: ignore[arg-type]


class TestPageRanges:
    @pytest.mark.parametrize(
        ("text", "expected"), [("3", [3]), ("2-4,7", [2, 3, 4, 7]), (" 1 , 8- ", [1, 8, 9]), ("4,2-3", [2, 3, 4])]
    )
    def test_membership(self, text: str, expected: list[int]) -> None:
        ranges = parse_page_ranges(text)
        assert [number for number in range(0, 10) if number in ranges] == expected

    @pytest.mark.parametrize("text", ["", "0", "4-2", "-3", "a", "1,,2", "1-2-3", "1.5", "٣", "9" * 5000])
    def test_nonsense_is_a_usage_error(self, text: str) -> None:
        with pytest.raises(HipError) as caught:
            parse_page_ranges(text)
        assert caught.value.exit_code == ExitCode.USAGE

    def test_format(self) -> None:
        assert format_page_ranges([2, 5, 6, 7, 9, 10]) == "2, 5-7, 9-10"


class TestReading:
    def test_pages_lines_and_labels(self) -> None:
        pages, warnings = read_pdf(
            make_pdf([["Preface"], ["More preface"], ["One", "two"], ["Three"]], roman_pages=2), "x.pdf"
        )
        assert [(page.number, page.label, page.text) for page in pages] == [
            (1, "i", "Preface"),
            (2, "ii", "More preface"),
            (3, "1", "One\ntwo"),
            (4, "2", "Three"),
        ]
        assert warnings == ()

    def test_no_labels(self) -> None:
        assert read_pdf(make_pdf([["One"]]), "x.pdf")[0][0].label is None

    def test_any_character(self) -> None:
        line = "ﬁne 😀 𝒳 é x² “quoted” 漢字"
        assert texts(make_pdf([[line]])) == [line.replace("ﬁ", "fi")]

    def test_divided_word(self) -> None:
        assert texts(make_pdf([["a man in posses-", "sion of a good", "a possession"]])) == [
            "a man in possession of a good\na possession"
        ]

    def test_rotated_page_keeps_its_lines(self) -> None:
        assert sorted(texts(make_pdf([["first line", "second line"]], rotation=90))[0].split("\n")) == [
            "first line",
            "second line",
        ]

    def test_selected_pages_keep_their_numbers(self) -> None:
        data = make_pdf([[word] for word in ("one", "two", "three", "four")])
        pages, warnings = read_pdf(data, "x.pdf", pages="2,4-9")
        assert [(page.number, page.text) for page in pages] == [(2, "two"), (4, "four")]
        assert warnings == ("--pages asks for page 9 but the last one is 4.",)

    def test_no_such_page(self) -> None:
        with pytest.raises(HipError, match=r"x\.pdf: has 1 page, and none that --pages asks for"):
            read_pdf(make_pdf([["one"]]), "x.pdf", pages="7")

    def test_right_to_left_lines_of_any_page(self) -> None:
        pages = [["English on most pages"], ["More of it", "שלום עולם", "טוב מאוד 12"], ["And more"]]
        assert texts(make_pdf(pages))[1] == "More of it\nשלום עולם\nטוב מאוד 12"

    def test_scan(self) -> None:
        with pytest.raises(HipError) as caught:
            read_pdf(make_pdf([[], []]), "x.pdf")
        assert caught.value.message == "x.pdf: no text on any of 2 pages (scanned?)"
        assert caught.value.hint is not None and "--ocr" in caught.value.hint

    def test_what_can_be_read_is_read(self) -> None:
        pages, warnings = read_pdf(make_pdf([["one"], [], [], ["four"], []]), "x.pdf")
        assert [page.text for page in pages] == ["one", "", "", "four", ""]
        assert warnings == ("no text on 3 of 5 pages: 2-3, 5.",)

    def test_some_pages_without_text(self) -> None:
        pages, warnings = read_pdf(make_pdf([["one"], [], ["three"], []]), "x.pdf")
        assert [page.text for page in pages] == ["one", "", "three", ""]
        assert warnings == ("no text on 2 of 4 pages: 2, 4.",)

    def test_no_pages(self) -> None:
        with pytest.raises(HipError, match="without pages"):
            read_pdf(make_pdf([]), "x.pdf")


class TestProtection:
    @pytest.mark.parametrize("password", ["user", "owner"])
    def test_right_password(self, password: str) -> None:
        data = make_pdf([["secret"]], user_password="user", owner_password="owner")
        assert texts(data, password=password) == ["secret"]

    def test_missing_and_wrong_passwords_are_told_apart(self) -> None:
        data = make_pdf([["secret"]], user_password="user", owner_password="owner")
        with pytest.raises(HipError, match="protected by a password") as missing:
            read_pdf(data, "x.pdf")
        assert missing.value.hint is not None and "--password" in missing.value.hint
        with pytest.raises(HipError, match="the password is wrong"):
            read_pdf(data, "x.pdf", password="guess")

    def test_password_for_another_document_does_no_harm(self) -> None:
        assert texts(make_pdf([["open"]]), password="other") == ["open"]
        assert texts(make_pdf([["half open"]], user_password="", owner_password="o"), password="other") == ["half open"]

    def test_unknown_encryption(self) -> None:
        data = make_pdf([["secret"]], user_password="user").replace(b"/Standard", b"/Standerd")
        with pytest.raises(HipError, match="encrypted in an unknown way"):
            read_pdf(data, "x.pdf")


class TestDamage:
    def test_not_a_pdf(self) -> None:
        with pytest.raises(HipError, match="not a PDF, despite its name"):
            read_pdf(b"<html>404</html>", "x.pdf")

    def test_half_a_file(self) -> None:
        data = make_pdf([["one"]])
        with pytest.raises(HipError, match=r"x\.pdf: damaged PDF"):
            read_pdf(data[: len(data) // 2], "x.pdf")

    def test_broken_cross_references_are_repaired(self) -> None:
        assert texts(make_pdf([["one"]]).replace(b"xref", b"xxxx")) == ["one"]

    def test_a_page_that_cannot_be_loaded_is_read_by_pypdf(self, monkeypatch: pytest.MonkeyPatch) -> None:
        get_page = pypdfium2.PdfDocument.get_page

        def fail_on_second(document: pypdfium2.PdfDocument, index: int) -> object:
            if index == 1:
                raise pypdfium2.PdfiumError("Failed to load page.")
            return get_page(document, index)

        monkeypatch.setattr(pypdfium2.PdfDocument, "get_page", fail_on_second)
        data = make_pdf([["one"], ["two"], ["three"]])
        content = pdf.read(data, "x.pdf", ReadOptions(ocr="off"))
        assert [page.text for page in content.pages] == ["one", "two", "three"]
        assert (content.reader, content.warnings) == ("pdfium, pypdf on page 2", ())

        monkeypatch.setattr(pypdf.PageObject, "extract_text", lambda page: "")
        pages, warnings = read_pdf(data, "x.pdf")
        assert [page.text for page in pages] == ["one", "", "three"]
        assert warnings == ("page 2 cannot be read: the file is damaged.",)


@real
class TestRealFiles:
    def read(self, name: str, **options: object) -> tuple[list[str], tuple[str, ...]]:
        pages, warnings = read_pdf((REAL / name).read_bytes(), name, **options)  # type: ignore[arg-type]
        return [page.text for page in pages], warnings

    def test_novel_is_fast_and_clean(self) -> None:
        started = time.perf_counter()
        pages, warnings = self.read("pride_and_prejudice_273p.pdf")
        assert time.perf_counter() - started < 5
        assert len(pages) == 273 and not warnings
        assert "a single man in possession of a good fortune, must be in want of a wife" in pages[0]
        assert not any(text.split("\n")[-1].isdigit() for text in pages)
        assert not any(character in "".join(pages) for character in "\r\x02\ufffe")
        assert sum(map(len, pages)) > 680_000

    def test_columns_stay_in_order(self) -> None:
        pages, _ = self.read("acl_N18-3011_two_column_8p.pdf")
        left, right = pages[0].index("Abstract"), pages[0].index("Introduction")
        assert left < pages[0].index("heterogeneous graph") < right
        pages, _ = self.read("federal_register_2020-17221_three_column_15p.pdf")
        assert not any("VerDate" in text for text in pages), "the printer's stamp is white"

    def test_scan_with_text_layer(self) -> None:
        pages, warnings = self.read("vicksburg_scan_with_ocr_6p.pdf")
        assert len(pages) == 6 and all(pages) and not warnings

    def test_damaged_but_readable(self) -> None:
        pages, _ = self.read("corrupted_zen_of_python.pdf")
        assert "Readability counts.\nSpecial cases" in pages[0]

    def test_zero_bytes(self) -> None:
        with pytest.raises(HipError):
            self.read("zero_bytes.pdf")

    @pytest.mark.parametrize(
        ("name", "password"),
        [
            ("encrypted_empty_password_rc4_r3.pdf", None),
            ("encrypted_user_foo_owner_bar_aes256_r6.pdf", "foo"),
            ("encrypted_user_foo_owner_bar_aes256_r6.pdf", "bar"),
            ("encrypted_user_password_empty_owner_r6.pdf", "asdfzxcv"),
            ("encrypted_user_password_empty_owner_r6.pdf", None),  # only pypdf opens these two
            ("encrypted_user_password_empty_owner_r6.pdf", "for another"),
        ],
    )
    def test_passwords(self, name: str, password: str | None) -> None:
        assert self.read(name, password=password)[0][0].startswith("pdf encryption test")

    def test_password_missing(self) -> None:
        with pytest.raises(HipError, match="protected by a password"):
            self.read("encrypted_user_foo_owner_bar_aes256_r6.pdf")
