"""Notes on a page of a PDF, and text that was added over it."""

import pytest
from pdf_files import line, pdf

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pdf import annotations, pdf_notes
from hipcli.documents.readers.pdf.pdf import read

HIDDEN = "notes that a viewer does not show, left out (--hidden reads them): 1 on page 1."

DRAWN = line("Rent is 900 EUR a month.") + line("Deposit: none.", y=680)
OVER_RENT = "/Rect [72 695 250 712] /QuadPoints [70 712 250 712 70 697 250 697]"
STAMP = {
    100: (
        "/Type /XObject /Subtype /Form /BBox [0 0 200 20] /Resources << /Font << /F1 3 0 R >> >>",
        b"BT /F1 12 Tf 2 5 Td (PAID in full) Tj ET",
    )
}


def read_pdf(*annotations: str, hidden: bool = False, drawn: str = DRAWN) -> Content:
    return read(pdf(drawn, annotations=annotations, objects=STAMP), "x.pdf", ReadOptions(ocr="off", hidden=hidden))


def notes(*annotations: str) -> str:
    content = read_pdf(*annotations)
    assert content.warnings == content.dropped == ()
    return content.pages[0].text.removeprefix("Rent is 900 EUR a month.\nDeposit: none.").strip()


def test_added_text() -> None:
    annotation = "/Subtype /FreeText /Rect [72 600 400 640] /DA (/F1 12 Tf 0 g) /Contents (Amended:\\rtwo months.)"
    assert notes(annotation) == "[added text: Amended: two months.]"


def test_added_text_on_an_empty_page_is_text() -> None:
    content = read_pdf("/Subtype /FreeText /Rect [72 600 400 640] /Contents (All there is)", drawn="")
    assert content.pages[0].text == "[added text: All there is]"
    assert content.warnings == ()


def test_a_note_names_its_author_and_the_passage() -> None:
    note = "/Subtype /Text /Rect [300 700 320 720] /T (Ada) /Contents (too high)"
    assert notes(note) == "[note by Ada: too high]"
    highlight = f"/Subtype /Highlight {OVER_RENT} /Contents (too high)"
    assert notes(highlight) == '[note: "Rent is 900 EUR a month." - too high]'


def test_a_passage_struck_out() -> None:
    assert notes(f"/Subtype /StrikeOut {OVER_RENT}") == '[struck out: "Rent is 900 EUR a month."]'
    with_comment = f"/Subtype /StrikeOut {OVER_RENT} /Contents (now 950)"
    assert notes(with_comment) == '[struck out: "Rent is 900 EUR a month." - now 950]'


def test_marks_without_a_comment_are_counted() -> None:
    content = read_pdf(*[f"/Subtype /Highlight {OVER_RENT}"] * 2)
    assert "[" not in content.pages[0].text
    said = "highlighted or underlined passages, which are read without the marks: 2 on page 1."
    assert content.dropped == (said,)


def test_a_stamp_has_the_text_it_shows() -> None:
    assert notes("/Subtype /Stamp /F 4 /Rect [72 500 272 520] /AP << /N 100 0 R >>") == "[stamp: PAID in full]"


def test_links_and_popups_are_no_notes() -> None:
    assert notes("/Subtype /Popup /Rect [0 0 9 9] /Contents (again)", "/Subtype /Link /Rect [0 0 9 9]") == ""


def test_a_note_that_is_hidden() -> None:
    note = "/Subtype /Text /F 2 /Rect [300 700 320 720] /Contents (between us)"
    content = read_pdf(note)
    assert "between us" not in content.pages[0].text
    assert content.dropped == (HIDDEN,)
    assert read_pdf(note, hidden=True).pages[0].text.endswith("[note: between us]")


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        ("<< /Type /OCG >>", False),
        ("<< /Type /OCMD /OCGs 101 0 R >>", False),
        ("<< /Type /OCMD /OCGs [101 0 R 102 0 R] >>", True),
        ("<< /Type /OCMD /OCGs [101 0 R 102 0 R] /P /AllOn >>", False),
        ("<< /Type /OCMD /OCGs [101 0 R] /P /AllOff >>", True),
    ],
)
@pytest.mark.parametrize("default", ["/OFF [100 0 R 101 0 R]", "/BaseState /OFF /ON [102 0 R]"])
def test_on_a_layer_that_may_be_off(layer: str, shown: bool, default: str) -> None:
    objects = {100: layer, 101: "<< /Type /OCG >>", 102: "<< /Type /OCG >>"}
    catalog = f"/OCProperties << /OCGs [100 0 R 101 0 R 102 0 R] /D << {default} >> >>"
    note = "/Subtype /Text /Rect [300 700 320 720] /Contents (between us) /OC 100 0 R"
    data = pdf(DRAWN, annotations=[note], catalog=catalog, objects=objects)
    content = read(data, "x.pdf", ReadOptions(ocr="off"))
    assert ("[note: between us]" in content.pages[0].text) is shown
    assert content.dropped == (() if shown else (HIDDEN,))
    assert "[note: between us]" in read(data, "x.pdf", ReadOptions(ocr="off", hidden=True)).pages[0].text


@pytest.mark.parametrize("how", ["/F 2", "/OC 101 0 R"])
def test_a_stamp_that_is_hidden(how: str) -> None:
    stamp = f"/Subtype /Stamp /Rect [72 500 272 520] /AP << /N 100 0 R >> {how}"
    catalog = "/OCProperties << /OCGs [101 0 R] /D << /OFF [101 0 R] >> >>"
    data = pdf(DRAWN, annotations=[stamp], catalog=catalog, objects={**STAMP, 101: "<< /Type /OCG >>"})
    content = read(data, "x.pdf", ReadOptions(ocr="off"))
    assert "PAID" not in content.pages[0].text
    assert content.dropped == (HIDDEN,)
    assert read(data, "x.pdf", ReadOptions(ocr="off", hidden=True)).pages[0].text.endswith("[stamp: PAID in full]")


def test_beyond_the_most_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (annotations, pdf_notes):
        monkeypatch.setattr(module, "MOST", 2)
    content = read_pdf(*[f"/Subtype /Text /Rect [0 0 9 9] /Contents (note {number})" for number in range(3)])
    assert content.pages[0].text.endswith("[note: note 0]\n[note: note 1]")
    assert content.warnings == ("page 1 has 3 notes and fields, of which the first 2 were read.",)


def test_added_text_that_is_only_part_of_what_the_page_draws() -> None:
    assert notes("/Subtype /FreeText /Rect [72 695 250 712] /Contents (Re)") == "[added text: Re]"
    assert notes("/Subtype /FreeText /Rect [72 695 250 712] /Contents (900 EUR)") == ""


def test_added_text_that_only_the_appearance_has() -> None:
    assert notes("/Subtype /FreeText /Rect [72 500 272 520] /AP << /N 100 0 R >>") == "[added text: PAID in full]"


def test_formatted_text() -> None:
    text = "/RC (<body><p>two <b>months</b></p><p>from May</p></body>)"
    assert notes(f"/Subtype /FreeText /Rect [72 600 400 640] {text}") == "[added text: two months from May]"
    assert notes(f"/Subtype /Text /Rect [72 600 92 620] {text}") == "[note: two months from May]"


def test_a_stamp_with_a_comment_has_both() -> None:
    stamp = "/Subtype /Stamp /F 4 /Rect [72 500 272 520] /AP << /N 100 0 R >>"
    assert notes(f"{stamp} /Contents (by bank transfer)") == "[stamp: PAID in full - by bank transfer]"
    assert notes(f"{stamp} /Contents (PAID in full)") == "[stamp: PAID in full]"


def test_a_stamp_without_an_appearance_has_its_comment() -> None:
    assert notes("/Subtype /Stamp /F 4 /Rect [72 500 272 520] /Contents (Approved)") == "[stamp: Approved]"


def test_a_stamp_over_text_does_not_repeat_it() -> None:
    assert notes("/Subtype /Stamp /F 4 /Rect [80 695 280 715] /AP << /N 100 0 R >>") == "[stamp: PAID in full]"


def test_the_comment_of_an_attached_file() -> None:
    note = "/Subtype /FileAttachment /Rect [9 9 20 20] /Contents (see the signed copy)"
    assert notes(note) == "[attached file: see the signed copy]"
