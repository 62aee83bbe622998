import io
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from pypdf import PdfReader, PdfWriter

from hipcli.documents.document import Content, Skipped
from hipcli.documents.formats import reader_name
from hipcli.documents.options import Ocr, ReadOptions
from hipcli.documents.readers.pdf import pdf, scans
from hipcli.documents.readers.pdf.pdf import to_recognise
from hipcli.documents.readers.pdf.pdf_layers import Layers
from hipcli.documents.readers.pdf.pdfium import read_page
from hipcli.documents.readers.pictures import ocr, picture
from hipcli.documents.readers.text.text import NotTextError
from hipcli.errors import HipError
from tests.data.make_pdf import make_pdf
from tests.read_paths import read

SCAN = Path(__file__).parents[4] / "shared/data/pdf/vicksburg_scan_with_ocr_6p.pdf"
LINES = ("Invoice 2042 of 17 March", "Please pay 1,234.56 euros", "within thirty days.")

needs_engine = pytest.mark.skipif(not ocr.available(), reason="the extra ocr is not installed")


def page(lines: tuple[str, ...] = LINES, size: tuple[int, int] = (800, 400)) -> Image.Image:
    """Black text on white."""
    image = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(40)
    for row, line in enumerate(lines):
        draw.text((60, 60 + 70 * row), line, font=font, fill="black")
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def stamped(scan: bytes, text: bytes) -> bytes:
    """The first page of `scan` with the text of the first page of `text` over it."""
    writer = PdfWriter()
    writer.append(PdfReader(io.BytesIO(scan)))
    over = PdfReader(io.BytesIO(text)).pages[0]
    writer.pages[0].merge_page(over)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


class Engine:
    """Stands in for recognition: says `text` about every picture, and remembers them."""

    def __init__(self, text: str = "recognised", certainty: float = 0.99, unread: int = 0) -> None:
        self.result = ocr.Recognised(text, certainty, unread)
        self.pictures: list[NDArray[np.uint8]] = []

    def __call__(self, image: NDArray[np.uint8]) -> ocr.Recognised:
        self.pictures.append(image)
        return self.result


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    stand_in = Engine()
    monkeypatch.setattr(ocr, "available", lambda: True)
    monkeypatch.setattr(ocr, "recognise", stand_in)
    return stand_in


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "available", lambda: False)


def read_picture(data: bytes, **options: object) -> Content:
    return picture.read(data, "scan.png", ReadOptions(**options))  # type: ignore[arg-type]


def recognise(data: bytes, *texts: str, unreadable: tuple[int, ...] = (), when: Ocr = "auto") -> scans.Recognition:
    with pypdfium2.PdfDocument(data) as document:
        pages = dict(enumerate(texts, 1))
        read = [
            replace(read_page(document, number - 1, Layers(data, None)), text=text) for number, text in pages.items()
        ]
        read = [replace(page, doubtful=page.number in unreadable) for page in read]
        return scans.recognise_pages(document, pages, to_recognise(read, when))


class TestPicture:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
    def test_each_format_is_read(self, kind: str, engine: Engine) -> None:
        data = saved(page(), kind)
        assert reader_name("no-suffix", data) == "picture"
        content = read_picture(data)
        assert [(one.number, one.text, one.recognised) for one in content.pages] == [(1, "recognised", True)]
        assert (content.kind, content.unit) == ("picture", None)
        assert content.warnings == ("page 1 was recognised (OCR): letters may be wrong.",)
        assert engine.pictures[0].shape == (400, 800, 3)

    def test_pages_of_a_tiff_are_pages(self, engine: Engine) -> None:
        content = read_picture(saved(page(), "TIFF", save_all=True, append_images=[page(), page()]))
        assert [one.number for one in content.pages] == [1, 2, 3]
        assert content.unit == "page"
        assert content.warnings == ("pages 1-3 were recognised (OCR): letters may be wrong.",)

    def test_colours_come_blue_first(self, engine: Engine) -> None:
        read_picture(saved(Image.new("RGB", (50, 50), (200, 100, 0)), "PNG"))
        assert engine.pictures[0][0, 0].tolist() == [0, 100, 200]

    def test_what_is_transparent_is_white(self, engine: Engine) -> None:
        read_picture(saved(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG"))
        assert engine.pictures[0].min() == 255

    def test_sixteen_bits_are_brought_to_eight(self, engine: Engine) -> None:
        levels = np.zeros((50, 50), dtype=np.uint16)
        levels[:25] = 65535
        read_picture(saved(Image.fromarray(levels), "PNG"))
        assert (engine.pictures[0][0, 0, 0], engine.pictures[0][49, 0, 0]) == (255, 0)

    def test_a_photograph_is_turned_as_its_camera_says(self, engine: Engine) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        read_picture(saved(page(), "JPEG", exif=exif))
        assert engine.pictures[0].shape == (800, 400, 3)

    def test_a_big_picture_is_made_smaller(self, engine: Engine) -> None:
        read_picture(saved(Image.new("L", (9000, 5000), 255), "PNG"))
        height, width, _ = engine.pictures[0].shape
        assert 0.95 * ocr.MOST_PIXELS < height * width <= ocr.MOST_PIXELS
        assert width / height == pytest.approx(1.8, abs=0.01)

    def test_a_huge_picture_is_refused_before_it_is_unpacked(self, engine: Engine) -> None:
        # Of one bit each, which makes half a GB in colours.
        with pytest.raises(HipError, match=r"13,000 x 13,000 pixels"):
            read_picture(saved(Image.new("1", (13000, 13000)), "TIFF", compression="group4"))
        assert not engine.pictures

    def test_a_damaged_picture_is_an_error(self, engine: Engine) -> None:
        for data in (saved(page(), "PNG")[:500], b"\x89PNG\r\n\x1a\n" + b"no picture"):
            with pytest.raises(HipError, match=r"scan\.png: damaged picture"):
                read_picture(data)

    def test_without_the_extra_its_command_is_said(self, no_engine: None) -> None:
        with pytest.raises(NotTextError) as caught:
            read_picture(saved(page(), "PNG"))
        assert caught.value.message == "scan.png: is a picture, whose text only the extra hipcli[ocr] can read"
        assert caught.value.hint == "pip install 'hipcli[ocr]'"

    def test_in_a_directory_it_is_skipped_with_the_reason(self, tmp_path: Path) -> None:
        (tmp_path / "note.txt").write_text("note")
        (tmp_path / "scan.png").write_bytes(saved(page(), "PNG"))
        _, skipped = read(tmp_path, ocr="off")
        assert skipped == Skipped(str(tmp_path / "scan.png"), "is a picture, and --ocr is off")

    def test_a_picture_without_text_says_so(self, engine: Engine) -> None:
        engine.result = ocr.Recognised("", 0.0, 0)
        with pytest.raises(NotTextError, match="without text that could be recognised"):
            read_picture(saved(page(), "PNG"))
        engine.result = ocr.Recognised("", 0.0, 3)
        with pytest.raises(NotTextError, match="has what may be writing, and none that could be recognised"):
            read_picture(saved(page(), "PNG"))


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


class TestSaid:
    def test_doubt_and_what_is_missing_are_said(self) -> None:
        pages = {
            1: ocr.Recognised("good", 0.99, 0),
            2: ocr.Recognised("poor", 0.6, 1),
            3: ocr.Recognised("Tt c mi ngưi", 0.97, 0),
            4: ocr.Recognised("", 0.0, 2),
        }
        assert list(ocr.said(pages)) == [
            "pages 1-3 were recognised (OCR): letters may be wrong.",
            "pages 2-3 were recognised with little certainty: only Latin, Chinese and Japanese writing is known.",
            "3 lines of what may be writing could not be recognised, or not in full, on pages 2, 4.",
        ]


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB"))[:, :, ::-1]


@needs_engine
class TestEngine:
    @pytest.fixture(autouse=True)
    def no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("recognition opened a connection")

        monkeypatch.setattr(socket.socket, "connect", refuse)

    @pytest.mark.parametrize("turn", [0, 90, 180, 270])
    def test_a_page_is_read_however_it_lies(self, turn: int) -> None:
        result = ocr.recognise(pixels(page().rotate(turn, expand=True)))
        assert result.text.split() == " ".join(LINES).split()
        assert result.certainty > 0.9 and not result.unread

    def test_white_on_black_and_skewed(self) -> None:
        for image in (ImageOps.invert(page()), page().rotate(4, expand=True, fillcolor="white")):
            assert ocr.recognise(pixels(image)).text.split() == " ".join(LINES).split()

    def test_an_unknown_script_is_doubtful(self) -> None:
        lines = ("Весь мир театр, а люди", "в нём актёры и зрители", "Договор от пятого марта")
        image = Image.new("RGB", (900, 400), "white")
        font = ImageFont.truetype(_dejavu(), 40)
        for row, line in enumerate(lines):
            ImageDraw.Draw(image).text((60, 60 + 70 * row), line, font=font, fill="black")
        result = ocr.recognise(pixels(image))
        assert result.unread == 3
        assert result.certainty < 0.5

    def test_nothing_on_the_page_is_nothing(self) -> None:
        assert ocr.recognise(pixels(Image.new("RGB", (600, 800), "white"))) == ocr.Recognised("", 0.0, 0)

    def test_no_telemetry_and_no_files(self, tmp_path: Path) -> None:
        # Without the variables of CI, where ONNX Runtime keeps quiet by itself.
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        imports = "import numpy; from hipcli.documents.readers.pictures import ocr"
        code = f"{imports}; ocr.recognise(numpy.zeros((99, 99, 3), 'u1'))"
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        assert list(tmp_path.rglob("*")) == []

    @pytest.mark.skipif(not SCAN.exists(), reason="the shared data is not there")
    def test_a_scanned_book_is_read_as_its_text_layer_has_it(self) -> None:
        with pypdfium2.PdfDocument(SCAN) as document:
            layer = document[4].get_textpage().get_text_range().replace("\ufffe", "-\n")
            text = scans.recognise_pages(document, {5: ""}, {5: None}).texts[5]
        words = set(layer.split())
        assert len(words & set(text.split())) > 0.96 * len(words)


def _dejavu() -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")
