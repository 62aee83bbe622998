"""Text of a PDF that is not what the page shows."""

import pytest
from pdf_files import line, pdf

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pdf.legible import better, said
from hipcli.documents.readers.pdf.pdf import read
from hipcli.documents.readers.pdf.plausible import is_plausible
from hipcli.documents.readers.pictures import ocr

# A font of which the file does not say what its two-byte codes show.
GLYPHS = {
    100: "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /DescendantFonts [101 0 R] >>",
    101: "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /FontDescriptor 102 0 R /DW 600"
    " /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
    102: "<< /Type /FontDescriptor /FontName /X /Flags 4 /FontBBox [0 0 1000 1000] /ItalicAngle 0 /Ascent 800"
    " /Descent -200 /CapHeight 700 /StemV 80 >>",
}


def read_pdf(data: bytes) -> Content:
    return read(data, "x.pdf", ReadOptions(ocr="off"))


def glyphs(text: str, shift: int) -> str:
    """What draws `text` by codes that are so far from those of Unicode."""
    codes = "".join(f"{ord(character) + shift:04x}" for character in text)
    return f"BT /G 12 Tf 72 600 Td <{codes}> Tj ET\n"


class TestPages:
    def read(self, *contents: str) -> Content:
        # A font without text of its own takes the place of another, by name.
        objects = dict(GLYPHS)
        data = pdf(*contents, resources="", objects=objects)
        return read_pdf(data.replace(b"/F1 3 0 R >>", b"/F1 3 0 R /G 100 0 R >>"))

    def test_codes_that_are_no_letters_are_said_with_their_pages(self) -> None:
        wrong = glyphs("The lease ends in May and is not renewed.", -29)
        content = self.read(line("Plain."), wrong, wrong)
        assert content.pages[0].text == "Plain."
        (warning,) = content.warnings
        assert warning.startswith(
            "pages 2-3: the fonts do not say which letters they show, and what is read is probably wrong; "
        )

    def test_codes_that_are_unicode_are_read_without_a_word(self) -> None:
        content = self.read(glyphs("The lease ends in May and is not renewed.", 0))
        assert content.pages[0].text == "The lease ends in May and is not renewed."
        assert content.warnings == ()

    def test_a_second_reader_does_not_bring_back_what_is_hidden(self) -> None:
        hidden = line("no one sees it", y=500, before="1 g")
        content = self.read(glyphs("The lease ends in May and is not renewed.", -29) + hidden)
        assert "no one sees it" not in content.pages[0].text
        assert content.reader == "pdfium"


@pytest.mark.parametrize(
    ("available", "tried", "hint"),
    [
        (False, True, "pip install 'hipcli[ocr]' recognises them"),
        (True, False, "--ocr auto recognises them"),
        (True, True, "nothing could be recognised there"),
    ],
)
def test_what_is_said_of_doubtful_pages(
    available: bool, tried: bool, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "available", lambda: available)
    assert said([3, 4, 5], tried).startswith("pages 3-5: the fonts do not say which letters they show")
    assert said([3, 4, 5], tried).endswith(f"; {hint}.")


class TestPlausible:
    @pytest.mark.parametrize(
        "text",
        [
            "Výbava na přání",
            "Uvolnění vinkulace –",
            "p. 20-40, 10/02/2012 16:24 (see AT’s “report”), €1.200,50 or 3%",
            "天健函 (2016) 306号 上海证券交易所:",
            "Это не то. A и B",
            "안녕하세요 세계",
            "انواع الخطوط العربية",
            "のインストールについて【 の場合】",
        ],
    )
    def test_words(self, text: str) -> None:
        assert is_plausible(text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "3HQČåQtSURVWĜHGN\\QD~þWHFK",
            "9ROXPHV 6XPPD /,1(83",
            "ɍɝɥɨɜɚɹ ɲɥɢɮɨɜɚɥɶɧɚɹ",
            "킜킰톁톁킰 킜킰톁톈톂킰킱",
            "/g18/g152/g135/g148/g152",
            "\x00C\x00h\x00e\x00c\x00k",
            "̽ଋҨǥƹ̽ୡȥဎഁୡࣧҨဌʾဎಱ̽ೌ¢܆ȥ",
            "a" * 60,
        ],
    )
    def test_numbers_of_glyphs(self, text: str) -> None:
        assert not is_plausible(text)

    def test_the_better_of_two_readings(self) -> None:
        assert better("ǡǼǱǺ ǓǯǯǱǿǿ", "Open Access") == "Open Access"
        assert better("Open Access", "/C79/C112/C101/C110") == "Open Access"
        assert (
            better("20I5 306", "关于浙江菲达环保科技股份有限公司 20I5 306")
            == "关于浙江菲达环保科技股份有限公司 20I5 306"
        )
        assert better("the same", "the same") == "the same"
