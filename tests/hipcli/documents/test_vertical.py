"""Vertical writing, in PDFs that place every character by itself."""

from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pdf import missing_fonts
from hipcli.documents.readers.pdf.pdf import read

Placed = tuple[str, float, float]  # text, and where it begins, in points


def page_of(*placed: Placed) -> bytes:
    """A PDF with one page of texts in a Japanese font that is not embedded."""
    shows = (f"1 0 0 1 {x} {y} Tm <{text.encode('utf-16-be').hex()}> Tj" for text, x, y in placed)
    content = f"BT /F 10 Tf {' '.join(shows)} ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 400]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type0/BaseFont/Mincho/Encoding/UniJIS-UTF16-H/DescendantFonts[6 0 R]>>",
        b"<</Type/Font/Subtype/CIDFontType0/BaseFont/Mincho/DW 1000"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Japan1)/Supplement 5>>/FontDescriptor 7 0 R>>",
        b"<</Type/FontDescriptor/FontName/Mincho/Flags 4/FontBBox[0 -200 1000 800]/ItalicAngle 0/Ascent 800"
        b"/Descent -200/CapHeight 700/StemV 80>>",
    ]
    numbered = (b"%d 0 obj\n%s\nendobj\n" % (number, body) for number, body in enumerate(objects, 1))
    return b"%PDF-1.7\n" + b"".join(numbered) + b"trailer<</Root 1 0 R>>\n%%EOF"


def column(text: str, x: float, top: float) -> list[Placed]:
    return [(character, x, top - 12 * index) for index, character in enumerate(text)]


def text_of(*placed: Placed) -> str:
    (page,) = read(page_of(*placed), "page.pdf", ReadOptions(ocr="off")).pages
    return page.text


def test_columns_are_read_from_right_to_left() -> None:
    columns = [
        *column("三番目の行です", 100, 380),
        *column("二番目の行です", 130, 356),
        *column("序文の題名", 160, 380),
    ]
    assert text_of(*columns) == "序文の題名\n二番目の行です\n三番目の行です"


def test_tiers_are_read_from_top_to_bottom() -> None:
    upper = [*column("上段の二行目", 100, 380), *column("上段の一行目", 130, 380)]
    lower = [*column("下段の二行目", 100, 180), *column("下段の一行目", 130, 180)]
    assert text_of(*upper, *lower) == "上段の一行目\n上段の二行目\n下段の一行目\n下段の二行目"


def test_horizontal_lines_stay() -> None:
    lines = [("日本語の一行目です", 50.0, 300.0), ("日本語の二行目です", 50.0, 280.0)]
    assert text_of(*lines) == "日本語の一行目です\n日本語の二行目です"


def test_a_horizontal_title_stays_above_its_columns() -> None:
    columns = [*column("二番目の行です", 100, 340), *column("一番目の行です", 130, 340)]
    assert text_of(("横書きの見出し", 60.0, 380.0), *columns) == "横書きの見出し\n一番目の行です\n二番目の行です"


def test_a_table_of_single_characters_stays() -> None:
    rows = [
        (character, 50.0 + 30 * i, 300.0 - 60 * j)
        for j, row in enumerate(["甲乙", "丙丁"])
        for i, character in enumerate(row)
    ]
    assert "".join(text_of(*rows).split()) == "甲乙丙丁"


def test_a_font_that_nobody_has_is_read_without_it() -> None:
    columns = [*column("二番目の行です", 100, 340), *column("一番目の行です", 130, 340)]
    horizontal = ("横書きの見出し", 60.0, 380.0)
    assert list(missing_fonts.texts(page_of(horizontal, *columns), None, [0], [])) == [
        "横書きの見出し\n一番目の行です\n二番目の行です"
    ]
    assert list(missing_fonts.texts(page_of(horizontal), None, [0], [])) == ["横書きの見出し"]
