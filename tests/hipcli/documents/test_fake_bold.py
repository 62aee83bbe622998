import io
from collections.abc import Sequence

import pypdfium2
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from hipcli.documents.readers.pdf.fake_bold import Character, characters, drawn_once, looks_doubled

WIDTH = 7.2  # of any letter of Courier at 12 points


def draw(*pieces: tuple[str, float, float]) -> bytes:
    """A page on which each piece of text begins at its place, in points."""
    writer = PdfWriter()
    page = writer.add_blank_page(width=595, height=842)
    content = DecodedStreamObject()
    shown = [f"BT /F1 12 Tf {left:.2f} {bottom:.2f} Td ({text}) Tj ET" for text, left, bottom in pieces]
    content.set_data("\n".join(shown).encode("ascii"))
    names = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Courier", "/Encoding": "/WinAnsiEncoding"}
    font = DictionaryObject({NameObject(key): NameObject(name) for key, name in names.items()})
    page[NameObject("/Contents")] = writer._add_object(content)
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): writer._add_object(font)})}
    )
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def letter_by_letter(text: str, right: float, down: float) -> list[tuple[str, float, float]]:
    places = [(letter, 72 + WIDTH * index) for index, letter in enumerate(text) if letter != " "]
    return [(letter, left + s * right, 700 - s * down) for letter, left in places for s in (0, 1)]


def read(pieces: Sequence[tuple[str, float, float]]) -> tuple[str, str]:
    """What PDFium makes of the page, and what it looks like when letters count once."""
    with pypdfium2.PdfDocument(draw(*pieces)) as document:
        textpage = document[0].get_textpage()
        return str(textpage.get_text_range()), drawn_once(characters(textpage))


class TestDrawnOnce:
    @pytest.mark.parametrize(("right", "down"), [(0.3, 0), (1, 1), (2.5, 0), (0, 3), (2.5, 2.5)])
    def test_letter_by_letter(self, right: float, down: float) -> None:
        assert read(letter_by_letter("Municipality of aabb 11", right, down))[1] == "Municipality of aabb 11"

    def test_pdfium_does_not_drop_all(self) -> None:
        text = read(letter_by_letter("Municipality", 2.5, 2.5))[0]
        assert text != "Municipality" and looks_doubled(text)

    def test_piece_by_piece(self) -> None:
        text, once = read(
            [("Municipality of", 72, 700), ("Munici", 72.5, 700), ("pality of", 72.5 + 6 * WIDTH, 700), ("x", 72, 650)]
        )
        assert text == "Municipality of Municipality of\r\nx" and looks_doubled(text)
        assert once == "Municipality of\nx"

    @pytest.mark.parametrize("line", ["aabbccdd 1122 bookkeeper www 1111111", "Bora Bora", "......"])
    def test_genuine_doubles_stay(self, line: str) -> None:
        assert read([(line, 72, 700), (line, 72, 680)])[1].replace("\r", "") == f"{line}\n{line}"

    def test_ligatures_stay(self) -> None:
        letters = [("o", 0.0, 7.0), ("f", 7.0, 14.0), ("f", 7.0, 14.0), ("i", 7.0, 14.0), ("x", 14.0, 21.0)]
        once = [Character(letter, left, 0, right, 12) for letter, left, right in letters]
        shadow = [Character(letter, left + 1, 1, right + 1, 13) for letter, left, right in letters]
        assert drawn_once(once) == "offix"
        assert drawn_once([*once, *shadow]) == "offix"

    def test_boxes_that_are_too_wide(self) -> None:
        assert drawn_once(Character("x", 7.0 * index, 0, 7.0 * index + 27, 12) for index in range(4)) == "xxxx"

    def test_takes_linear_time(self) -> None:
        boxes = [Character("a", index * 0.001, 0, index * 0.001 + 0.0015, 0.001) for index in range(100_000)]
        assert len(drawn_once(boxes)) == 100_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MMuunnii", True),
        ("the title the title", True),
        ("a bookkeeper", True),
        ("two words of a sentence", False),
        ("aa bb", False),
        ("", False),
    ],
)
def test_looks_doubled(text: str, expected: bool) -> None:
    assert looks_doubled(text) == expected
