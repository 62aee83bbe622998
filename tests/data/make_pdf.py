"""Small PDFs for tests, made when they are needed."""

import io
from collections.abc import Sequence

from pypdf import PageObject, PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject


def make_pdf(
    pages: Sequence[Sequence[str]],
    *,
    user_password: str | None = None,
    owner_password: str | None = None,
    roman_pages: int = 0,
    rotation: int = 0,
) -> bytes:
    """A PDF with a list of lines a page, of any characters; the first `roman_pages` are labelled i, ii, ..."""
    writer = PdfWriter()
    codes = _codes("".join(line for lines in pages for line in lines))
    font = writer._add_object(_font(writer, codes))
    for lines in pages:
        page = writer.add_blank_page(width=595, height=842)
        _write(page, lines, codes, font, writer)
        if rotation:
            page.rotate(rotation)
    if roman_pages:
        writer.set_page_label(0, roman_pages - 1, style="/r")
        writer.set_page_label(roman_pages, len(pages) - 1, style="/D", start=1)
    if user_password is not None:
        writer.encrypt(user_password, owner_password, algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _codes(text: str) -> dict[str, int]:
    """One byte a character: ASCII keeps its own, the others follow."""
    others = sorted({character for character in text if not " " <= character <= "~"})
    return {chr(code): code for code in range(32, 127)} | {c: 128 + i for i, c in enumerate(others)}


def _font(writer: PdfWriter, codes: dict[str, int]) -> DictionaryObject:
    rows = [f"<{code:02x}> <{character.encode('utf-16-be').hex()}>" for character, code in codes.items()]
    blocks = [rows[start : start + 100] for start in range(0, len(rows), 100)]
    mapping = "\n".join(f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar" for block in blocks)
    cmap = DecodedStreamObject()
    cmap.set_data(
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /T def /CMapType 2 def\n"
        b"1 begincodespacerange\n<00> <ff>\nendcodespacerange\n"
        + mapping.encode("ascii")
        + b"\nendcmap CMapName currentdict /CMap defineresource pop end end"
    )
    return DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
            NameObject("/Encoding"): NameObject("/WinAnsiEncoding"),
            NameObject("/ToUnicode"): writer._add_object(cmap),
        }
    )


def _write(page: PageObject, lines: Sequence[str], codes: dict[str, int], font: object, writer: PdfWriter) -> None:
    shown = [f"<{bytes(codes[character] for character in line).hex()}> Tj T*" for line in lines]
    content = DecodedStreamObject()
    content.set_data(("BT /F1 12 Tf 14 TL 72 760 Td\n" + "\n".join(shown) + "\nET").encode("ascii"))
    page[NameObject("/Contents")] = writer._add_object(content)
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
    )
