import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from text_pictures import LINES, page

from hipcli.documents.readers.pdf import scans
from hipcli.documents.readers.pictures import ocr

SCAN = Path(__file__).parents[4] / "shared/data/pdf/vicksburg_scan_with_ocr_6p.pdf"

needs_engine = pytest.mark.skipif(not ocr.available(), reason="the extra ocr is not installed")


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

    @pytest.mark.parametrize(
        ("place", "text"), [((1250, 1700), "Appendix"), ((100, 120), "Total 900"), ((2300, 3300), "7")]
    )
    def test_a_word_alone_on_a_page(self, place: tuple[int, int], text: str) -> None:
        image = Image.new("RGB", (2480, 3508), "white")
        ImageDraw.Draw(image).text(place, text, font=ImageFont.load_default(40), fill="black")
        assert ocr.recognise(pixels(image)).text == text

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
