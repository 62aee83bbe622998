import io
import runpy
import time
from pathlib import Path

import pypdfium2
import pytest
from pypdf import PdfWriter
from pypdf.generic import ByteStringObject, DecodedStreamObject, DictionaryObject, NameObject

from hipcli.documents.readers.pdf.actual_text import has_actual_text, without_actual_text
from hipcli.documents.readers.pdf.pdf_text import clean
from hipcli.documents.readers.pdf.right_to_left import better, is_doubtful, order_right_to_left

make_pdf = runpy.run_path(str(Path(__file__).parents[2] / "data/make_pdf.py"))["make_pdf"]

HEBREW = "שלום עולם טוב מאוד"
ARABIC = "هذه فقرة من دراسة الجغرافيا"


class TestOrder:
    @pytest.mark.parametrize(
        "line",
        [
            HEBREW,
            ARABIC,
            "שלום עולם 2024 טוב מאוד",
            "שלום עולם 1,234.5 טוב",
            "שלום (עולם) טוב",
            "The word שלום means peace, 12.",
            "دراسة من ٢٠٢٤",
            "Plain text (12).",
        ],
    )
    def test_right_order_stays(self, line: str) -> None:
        assert order_right_to_left(line) == line

    @pytest.mark.parametrize(
        ("reversed_line", "line"),
        [
            (HEBREW[::-1], HEBREW),
            (ARABIC[::-1], ARABIC),
            ("12 דואמ בוט םולש", "שלום טוב מאוד 12"),
            ("1,234.5 בוט (םלוע) PDF file םולש", "שלום PDF file (עולם) טוב 1,234.5"),
            ("The words םלוע םולש mean peace, 12.", "The words שלום עולם mean peace, 12."),
        ],
    )
    def test_reversed_lines_are_turned(self, reversed_line: str, line: str) -> None:
        assert order_right_to_left(reversed_line) == line
        assert order_right_to_left(f"{HEBREW}\n{reversed_line}") == f"{HEBREW}\n{line}"

    def test_lines_that_do_not_tell_follow_the_others(self) -> None:
        assert order_right_to_left("םלוע םולש\nבוט") == "שלום עולם\nטוב"
        assert order_right_to_left("שלום עולם\nבוט") == "שלום עולם\nבוט"

    def test_presentation_forms_become_letters(self) -> None:
        assert order_right_to_left("ﻓﻘرة ﻻ ﷲ") == "فقرة لا الله"
        assert order_right_to_left("ةرﻘﻓ") == "فقرة"
        assert order_right_to_left("x² ﬁ") == "x² ﬁ"

    def test_full_stop_at_the_wrong_end(self) -> None:
        assert order_right_to_left(f".{HEBREW}") == f"{HEBREW}."

    def test_takes_linear_time(self) -> None:
        started = time.perf_counter()
        order_right_to_left("ם" * 500_000 + "\n" + "םא (" * 200_000 + "\n" + "א!!!a" * 100_000 + "\n.א" * 100_000)
        assert time.perf_counter() - started < 5


class TestDoubt:
    def test_order(self) -> None:
        assert not is_doubtful(HEBREW + ARABIC)
        assert is_doubtful("שלום םולש עולם םלוע")

    def test_single_letters(self) -> None:
        assert is_doubtful("\n".join(HEBREW.replace(" ", "")))

    def test_better(self) -> None:
        assert better(HEBREW, ARABIC) == ARABIC
        assert better(HEBREW, HEBREW[:6]) == HEBREW  # letters are missing
        assert better(ARABIC, "شالجم ةيفاضإ يفارغجلا الحل دراسةة") == ARABIC


class TestActualText:
    def pdf(self, *, named: bool) -> bytes:
        """A page with the line HEBREW drawn as on paper, and replacement text shifted by a letter."""
        writer = PdfWriter(clone_from=io.BytesIO(make_pdf([[HEBREW[::-1]]])))
        page = writer.pages[0]
        content = page.get_contents()
        assert content is not None
        wrong = "<feff" + ("ש" + HEBREW[:-1]).encode("utf-16-be").hex() + ">"
        begin = "/Span /P0 BDC" if named else f"/Span <</ActualText {wrong}>> BDC"
        stream = DecodedStreamObject()
        stream.set_data(content.get_data().replace(b"<", begin.encode() + b" <", 1).replace(b"Tj", b"Tj EMC", 1))
        page[NameObject("/Contents")] = writer._add_object(stream)
        if named:
            text = ByteStringObject(bytes.fromhex(wrong[1:-1]))
            properties = DictionaryObject({NameObject("/ActualText"): text})
            resources = page["/Resources"]
            assert isinstance(resources, DictionaryObject)
            resources[NameObject("/Properties")] = DictionaryObject({NameObject("/P0"): properties})
        buffer = io.BytesIO()
        writer.write(buffer)
        return buffer.getvalue()

    def text(self, data: bytes) -> tuple[str, bool]:
        with pypdfium2.PdfDocument(data) as document:
            page = document[0]
            return clean(page.get_textpage().get_text_range()), has_actual_text(page)

    @pytest.mark.parametrize("named", [False, True])
    def test_is_taken_out(self, named: bool) -> None:
        data = self.pdf(named=named)
        text, has = self.text(data)
        assert has and HEBREW not in text
        assert self.text(without_actual_text(data, None, [0])) == (HEBREW, False)
