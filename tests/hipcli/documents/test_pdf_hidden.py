"""Text of a PDF that a viewer does not show."""

import pytest
from pdf_files import line, pdf

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pdf.pdf import read

SHOWN = line("The award is 485,000 USD")
START = "text that a viewer does not show, left out (--hidden reads it)"
OUTSIDE = "outside the page"
TINY = "smaller than 1 point"
PAINTED_OVER = "painted over, or in the colour of what is behind"
BLUE_BAR = "0 0 0.5 rg 50 590 300 40 re f 0 g\n"
OPTIONAL = "/OCProperties << /OCGs [100 0 R] /D << {} >> >>"
GROUP = {100: "<< /Type /OCG /Name (x) >>"}
PICTURE = {
    100: ("/Type /XObject /Subtype /Image /Width 2 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8", b"\x00\xff")
}


def read_pdf(data: bytes, hidden: bool = False) -> Content:
    return read(data, "x.pdf", ReadOptions(hidden=hidden, ocr="off"))


def form(content: str, more: str = "") -> tuple[str, bytes]:
    """A form to draw, with its own font."""
    head = f"/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >> {more}"
    return head, content.encode()


class TestLeftOut:
    @pytest.mark.parametrize(
        ("drawn", "page", "reason"),
        [
            (line("no one sees it", y=-300), "", OUTSIDE),
            (line("no one sees it", x=700), "", OUTSIDE),
            (line("no one sees it", y=100), "/CropBox [0 400 600 800]", OUTSIDE),
            (line("no one sees it", y=600, size=0.5), "", TINY),
            (line("no one sees it", y=600, before="0.04 0 0 0.04 0 0 cm"), "", TINY),
            (line("no one sees it", y=600, before="3 Tr"), "", "invisible"),
            (line("no one sees it", y=600, before="1 g"), "", PAINTED_OVER),
            (line("no one sees it", y=600, before="0.95 0.95 0.97 rg"), "", PAINTED_OVER),
            (BLUE_BAR + line("no one sees it", y=600, before="0 0 0.5 rg"), "", PAINTED_OVER),
            (line("no one sees it", y=600) + BLUE_BAR, "", PAINTED_OVER),
            (line("no one sees it", y=600) + "1 g 50 590 300 40 re f 0 g\n", "/Rotate 90", PAINTED_OVER),
        ],
    )
    def test_with_its_length_and_page(self, drawn: str, page: str, reason: str) -> None:
        content = read_pdf(pdf(SHOWN, SHOWN + drawn, page=page))
        assert [page.text for page in content.pages] == ["The award is 485,000 USD"] * 2
        assert content.dropped == (f"{START}: 11 characters {reason}, on page 2.",)
        assert content.warnings == ()

    @pytest.mark.parametrize("default", ["/OFF [100 0 R]", "/BaseState /OFF"])
    def test_on_layers_that_are_off(self, default: str) -> None:
        drawn = SHOWN + "/OC /L BDC\n" + line("hidden layer", y=600) + "EMC\n"
        data = pdf(drawn, resources="/Properties << /L 100 0 R >>", catalog=OPTIONAL.format(default), objects=GROUP)
        content = read_pdf(data)
        assert content.pages[0].text == "The award is 485,000 USD"
        assert content.dropped == (f"{START}: 11 characters on layers that are off, on page 1.",)

    def test_in_a_form_on_a_layer_that_is_off(self) -> None:
        objects = {**GROUP, 101: form(line("hidden form", y=600), "/OC 100 0 R")}
        data = pdf(
            SHOWN + "/X Do", resources="/XObject << /X 101 0 R >>", catalog=OPTIONAL.format("/OFF [100 0 R]"),
            objects=objects,
        )  # fmt: skip
        assert read_pdf(data).pages[0].text == "The award is 485,000 USD"

    def test_in_a_form_that_is_moved(self) -> None:
        objects = {100: form(line("shown", y=10) + line("outside", y=200))}
        data = pdf("1 0 0 1 0 700 cm /X Do", resources="/XObject << /X 100 0 R >>", objects=objects)
        content = read_pdf(data)
        assert content.pages[0].text == "shown"
        assert content.dropped == (f"{START}: 7 characters outside the page, on page 1.",)


class TestRead:
    def test_where_it_is_asked_for(self) -> None:
        content = read_pdf(pdf(SHOWN + line("white", y=600, before="1 g")), hidden=True)
        assert content.pages[0].text == "The award is 485,000 USD\nwhite"
        assert content.dropped == ()
        (warning,) = content.warnings
        assert warning.startswith("text that a viewer does not show, read all the same: 5 characters painted over")

    def test_light_text_on_something_dark(self) -> None:
        content = read_pdf(pdf(BLUE_BAR + SHOWN + line("white on a bar", y=600, before="1 g")))
        assert content.pages[0].text == "The award is 485,000 USD\nwhite on a bar"
        assert content.dropped == content.warnings == ()

    def test_text_below_something_that_lets_it_show(self) -> None:
        states = "/ExtGState << /G << /BM /Multiply >> >>"
        content = read_pdf(pdf(SHOWN + "q /G gs 1 1 0 rg 50 690 300 40 re f Q", resources=states))
        assert content.pages[0].text == "The award is 485,000 USD"
        assert content.dropped == ()

    def test_small_marks_of_plain_size(self) -> None:
        content = read_pdf(pdf(SHOWN + line("- . -", y=600, size=4)))
        assert content.pages[0].text == "The award is 485,000 USD\n- . -"
        assert content.dropped == ()

    def test_layers_that_are_on(self) -> None:
        drawn = SHOWN + "/OC /L BDC\n" + line("second layer", y=600) + "EMC\n"
        data = pdf(drawn, resources="/Properties << /L 100 0 R >>", catalog=OPTIONAL.format(""), objects=GROUP)
        content = read_pdf(data)
        assert content.pages[0].text == "The award is 485,000 USD\nsecond layer"
        assert content.dropped == ()

    def test_the_text_layer_of_a_scan(self) -> None:
        drawn = "q 600 0 0 800 0 0 cm /I Do Q\n" + line("recognised", before="3 Tr") + line("Downloaded", y=20)
        content = read_pdf(pdf(drawn, resources="/XObject << /I 100 0 R >>", objects=PICTURE))
        assert content.pages[0].text == "recognised\nDownloaded"
        assert content.dropped == content.warnings == ()

    def test_a_text_layer_below_the_scan(self) -> None:
        drawn = line("recognised") + "q 600 0 0 800 0 0 cm /I Do Q\n"
        content = read_pdf(pdf(drawn, resources="/XObject << /I 100 0 R >>", objects=PICTURE))
        assert content.pages[0].text == "recognised"
        assert content.dropped == content.warnings == ()

    def test_a_page_with_nothing_but_invisible_text_is_read_and_said(self) -> None:
        content = read_pdf(pdf(line("recognised", before="3 Tr")))
        assert content.pages[0].text == "recognised"
        assert content.dropped == ()
        (warning,) = content.warnings
        assert warning.startswith("page 1: text that a viewer may not show is read")

    def test_invisible_text_for_a_small_picture_is_read_and_said(self) -> None:
        drawn = SHOWN + "q 200 0 0 60 60 580 cm /I Do Q\n" + line("in the figure", x=120, y=600, before="3 Tr")
        content = read_pdf(pdf(drawn, resources="/XObject << /I 100 0 R >>", objects=PICTURE))
        assert content.pages[0].text == "The award is 485,000 USD\nin the figure"
        assert content.dropped == ()
        assert len(content.warnings) == 1
