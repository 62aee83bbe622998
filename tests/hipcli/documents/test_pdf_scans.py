"""Pages of a PDF that are pictures of text."""

import io
from dataclasses import replace

import pypdfium2
import pytest
from pdf_files import line
from pdf_files import pdf as hand_made
from PIL import Image
from pypdf import PdfReader, PdfWriter
from text_pictures import Engine, page, saved

from hipcli.documents.document import Content
from hipcli.documents.options import Ocr, ReadOptions
from hipcli.documents.readers.pdf import pdf, scans
from hipcli.documents.readers.pdf.pdf import to_recognise
from hipcli.documents.readers.pdf.pdf_layers import Layers
from hipcli.documents.readers.pdf.pdfium import read_page
from hipcli.documents.readers.pictures import ocr
from tests.data.make_pdf import make_pdf


def stamped(scan: bytes, text: bytes) -> bytes:
    """The first page of `scan` with the text of the first page of `text` over it."""
    writer = PdfWriter()
    writer.append(PdfReader(io.BytesIO(scan)))
    over = PdfReader(io.BytesIO(text)).pages[0]
    writer.pages[0].merge_page(over)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def recognise(data: bytes, *texts: str, unreadable: tuple[int, ...] = (), when: Ocr = "auto") -> scans.Recognition:
    with pypdfium2.PdfDocument(data) as document:
        pages = dict(enumerate(texts, 1))
        read = [
            replace(read_page(document, number - 1, Layers(data, None)), text=text) for number, text in pages.items()
        ]
        read = [replace(page, doubtful=page.number in unreadable) for page in read]
        return scans.recognise_pages(document, pages, to_recognise(read, when))


class TestPagesOfPdf:
    scan = saved(page(), "PDF", save_all=True, append_images=[page()])

    def test_pages_without_text_are_recognised(self, engine: Engine) -> None:
        result = recognise(self.scan, "its own text, of which there is a lot" * 9, "")
        assert result.texts[2] == "recognised"
        assert result.warnings[-1].endswith("recognised (OCR): letters may be wrong.")

    def test_a_page_of_text_is_left_alone(self, engine: Engine) -> None:
        assert recognise(make_pdf([["Some text"]]), "Some text") == scans.Recognition({})
        assert not engine.pictures

    def test_an_empty_page_is_not_drawn(self, engine: Engine) -> None:
        writer = PdfWriter()
        writer.add_blank_page(width=595, height=842)
        buffer = io.BytesIO()
        writer.write(buffer)
        assert recognise(buffer.getvalue(), "") == scans.Recognition({})
        assert not engine.pictures

    def test_a_stamped_scan_is_recognised_and_the_stamp_stays(self, engine: Engine) -> None:
        data = stamped(self.scan, make_pdf([["COPY-0017"]]))
        assert recognise(data, "COPY-0017").texts == {1: "COPY-0017\n\nrecognised"}

    def test_a_stamp_that_was_recognised_comes_once(self, engine: Engine) -> None:
        engine.result = ocr.Recognised("COPY-0017\nand the rest", 0.99, 0)
        data = stamped(self.scan, make_pdf([["COPY-0017"]]))
        assert recognise(data, "COPY-0017").texts == {1: "COPY-0017\nand the rest"}

    def test_a_scan_with_a_text_layer_is_read(self, engine: Engine) -> None:
        # Lines over the picture, not above it: its page is 576 points high.
        layer = make_pdf([["A line of the layer, long enough to count as text of the page."] * 60])
        data = stamped(saved(page(size=(595, 842)), "PDF"), layer)
        assert recognise(data, "layer") == scans.Recognition({})

    def test_unreadable_text_gives_way(self, engine: Engine) -> None:
        data = make_pdf([["Some text"]])
        assert recognise(data, "\ue000\ue001", unreadable=(1,)).texts == {1: "recognised"}

    def test_where_nothing_is_found_the_page_keeps_its_text(self, engine: Engine) -> None:
        engine.result = ocr.Recognised("", 0.0, 0)
        assert recognise(make_pdf([["Some text"]]), "Some text", when="force") == scans.Recognition({})

    def test_force_recognises_all_and_off_none(self, engine: Engine) -> None:
        data = make_pdf([["Some text"]])
        assert recognise(data, "Some text", when="force").texts == {1: "recognised"}
        assert recognise(self.scan, "", "", when="off") == scans.Recognition({})

    def test_without_the_extra_the_pages_are_named(self, no_engine: None) -> None:
        result = recognise(self.scan, "", "")
        assert result.texts == {}
        assert result.warnings == ("text in pictures was not read on pages 1-2; pip install 'hipcli[ocr]' adds that.",)

    @pytest.mark.parametrize("size", [(14400, 14400), (72, 108), (595, 842)])
    def test_any_page_is_drawn_in_a_useful_size(self, size: tuple[int, int], engine: Engine) -> None:
        writer = PdfWriter()
        writer.append(PdfReader(io.BytesIO(make_pdf([["Some text"]]))))
        writer.pages[0].mediabox.upper_right = size
        buffer = io.BytesIO()
        writer.write(buffer)
        recognise(buffer.getvalue(), "", when="force")
        height, width, _ = engine.pictures[0].shape
        assert max(height, width) >= 1600 and height * width <= 1.01 * ocr.MOST_PIXELS
        assert width / height == pytest.approx(size[0] / size[1], rel=0.01)

    @pytest.mark.parametrize("rotation", [0, 90, 180, 270])
    def test_a_picture_on_a_turned_page_is_found(self, rotation: int, engine: Engine) -> None:
        # A black picture in the lower left quarter of the page as it was before it was turned.
        writer = PdfWriter()
        writer.append(PdfReader(io.BytesIO(saved(Image.new("L", (300, 300), 0), "PDF"))))
        writer.pages[0].mediabox.upper_right = (600, 600)
        writer.pages[0].rotate(rotation)
        buffer = io.BytesIO()
        writer.write(buffer)
        recognise(buffer.getvalue(), "Text elsewhere")
        assert (engine.pictures[0] < 128).mean() > 0.98


class TestReadingOfPdf:
    def test_recognised_pages_are_marked_and_named(self, engine: Engine) -> None:
        writer = PdfWriter()
        for data in (make_pdf([["Some text"]]), TestPagesOfPdf.scan):
            writer.append(PdfReader(io.BytesIO(data)))
        buffer = io.BytesIO()
        writer.write(buffer)
        content = pdf.read(buffer.getvalue(), "mixed.pdf", ReadOptions())
        assert [(one.text, one.recognised) for one in content.pages] == [
            ("Some text", False),
            ("recognised", True),
            ("recognised", True),
        ]
        assert "pages 2-3 were recognised (OCR): letters may be wrong." in content.warnings


class TestAnnotations:
    """Fields and notes over a scan: they are read, and what is read is not recognised besides."""

    BLACK = ("/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8", b"\0")
    RESOURCES = "/Resources << /Font << /F1 3 0 R >> /XObject << /I 100 0 R >> >>"
    APPEARANCE = f"/Type /XObject /Subtype /Form /BBox [0 0 200 20] {RESOURCES}"
    TEXT = (APPEARANCE, b"BT /F1 12 Tf 2 5 Td (1,234.00 EUR) Tj ET")
    PICTURE = (APPEARANCE, b"q 200 0 0 20 0 0 cm /I Do Q")
    SCANNED = "q 500 0 0 200 50 50 cm /I Do Q\n"

    def read(self, annotation: str, drawn: str = SCANNED) -> Content:
        widget = f"{annotation} /Rect [72 600 272 620]"
        data = hand_made(
            drawn,
            annotations=[widget],
            resources="/XObject << /I 100 0 R >>",
            catalog="/AcroForm << /Fields [50 0 R] /DR << /Font << /F1 3 0 R >> >> /DA (/F1 12 Tf 0 g) >>",
            objects={100: self.BLACK, 101: self.TEXT, 102: self.PICTURE},
        )
        return pdf.read(data, "x.pdf", ReadOptions())

    @pytest.mark.parametrize(
        ("annotation", "read"),
        [
            ("/Subtype /Widget /FT /Tx /T (sum) /V (1,234.00 EUR) /AP << /N 101 0 R >>", "[form: sum = 1,234.00 EUR]"),
            ("/Subtype /Widget /FT /Tx /T (sum) /V (900) /DA (/F1 12 Tf 0 g)", "[form: sum = 900]"),
            ("/Subtype /Widget /FT /Tx /T (sum) /AP << /N 101 0 R >>", "[form: sum = 1,234.00 EUR]"),
            ("/Subtype /FreeText /Contents (1,234.00 EUR) /AP << /N 101 0 R >>", "[added text: 1,234.00 EUR]"),
            ("/Subtype /Stamp /AP << /N 101 0 R >>", "[stamp: 1,234.00 EUR]"),
        ],
    )
    def test_what_is_read_is_not_recognised_again(self, annotation: str, read: str, engine: Engine) -> None:
        content = self.read(annotation)
        assert content.pages[0].text == f"recognised\n{read}"
        (picture,) = engine.pictures
        height = len(picture)
        assert (picture[: height // 2] == 255).all(), "only the scan is drawn, in the lower half"
        assert (picture[height // 2 :] == 0).any()

    def test_a_stamp_that_is_a_picture_is_recognised(self, engine: Engine) -> None:
        content = self.read("/Subtype /Stamp /AP << /N 102 0 R >>", drawn=line("Invoice"))
        assert content.pages[0].text == "Invoice\n\nrecognised"
        assert (engine.pictures[0] < 128).mean() > 0.9

    def test_or_said(self, no_engine: None) -> None:
        content = self.read("/Subtype /Stamp /AP << /N 102 0 R >>", drawn=line("Invoice"))
        assert content.warnings == ("text in pictures was not read on page 1; pip install 'hipcli[ocr]' adds that.",)
