from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from text_pictures import Engine, page, saved

from hipcli.documents.document import Content, Skipped
from hipcli.documents.formats import reader_name
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pictures import ocr, picture
from hipcli.documents.readers.text.text import NotTextError
from hipcli.errors import HipError
from tests.read_paths import read


def read_picture(data: bytes, **options: object) -> Content:
    return picture.read(data, "scan.png", ReadOptions(**options))  # type: ignore[arg-type]


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
        assert skipped == Skipped(str(tmp_path / "scan.png"), "is a picture, and --ocr is off", alike=True)

    def test_a_picture_without_text_says_so(self, engine: Engine) -> None:
        engine.result = ocr.Recognised("", 0.0, 0)
        with pytest.raises(NotTextError, match="without text that could be recognised"):
            read_picture(saved(page(), "PNG"))
        engine.result = ocr.Recognised("", 0.0, 3)
        with pytest.raises(NotTextError, match="has what may be writing, and none that could be recognised"):
            read_picture(saved(page(), "PNG"))
