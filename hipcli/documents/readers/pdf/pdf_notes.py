"""Notes on a page of a PDF, text that was added over it, stamps, passages struck out: annotations other than fields."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.pdf.annotations import annotations, box_of, is_shown, one_line, string_of
from hipcli.documents.readers.pdf.page_objects import Box

_HIDDEN = "hidden"
_MARKED = "marked"

_MARKS = (pdfium.FPDF_ANNOT_HIGHLIGHT, pdfium.FPDF_ANNOT_UNDERLINE, pdfium.FPDF_ANNOT_SQUIGGLY)
# Popups repeat the note they belong to; files that are attached are read as files.
_NO_NOTES = (
    pdfium.FPDF_ANNOT_LINK,
    pdfium.FPDF_ANNOT_POPUP,
    pdfium.FPDF_ANNOT_WIDGET,
    pdfium.FPDF_ANNOT_FILEATTACHMENT,
)
_DRAWN = (pdfium.FPDF_ANNOT_STAMP, pdfium.FPDF_ANNOT_FREETEXT, pdfium.FPDF_ANNOT_WATERMARK)


class Notes(NamedTuple):
    """Lines for the notes of a page; `counts` of those that are not among them, by why; boxes that only show text."""

    lines: tuple[str, ...] = ()
    counts: Mapping[str, int] = {}
    drawn: tuple[Box, ...] = ()


def notes(page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage, keep_hidden: bool) -> Notes:
    """The notes of a page; `keep_hidden` are those, too, that a viewer does not show."""
    lines: list[str] = []
    counts: Counter[str] = Counter()
    drawn: list[Box] = []
    for _, subtype, handle in annotations(page):
        if subtype in _NO_NOTES and not _is_signature(subtype, handle):
            continue
        content = one_line(string_of(handle, "Contents"))
        if not is_shown(handle) and not keep_hidden:
            counts[_HIDDEN] += bool(content)
        elif subtype == pdfium.FPDF_ANNOT_STRIKEOUT:
            lines.append(_line("struck out", _quoted(handle, textpage), content))
        elif subtype in _DRAWN or subtype == pdfium.FPDF_ANNOT_WIDGET:
            if not content:
                drawn.append(box_of(handle))
            elif content not in one_line(textpage.get_text_bounded(*box_of(handle))):
                lines.append(f"[{'added text' if subtype == pdfium.FPDF_ANNOT_FREETEXT else 'stamp'}: {content}]")
        elif content:
            lines.append(_line(f"note{_author(handle)}", _quoted(handle, textpage), content))
        elif subtype in _MARKS:
            counts[_MARKED] += 1
    return Notes(tuple(lines), counts, tuple(drawn))


def drawn_text(document: pypdfium2.PdfDocument, index: int, boxes: tuple[Box, ...]) -> list[str]:
    """Lines for the text that annotations in `boxes` show on the page with this index: stamps, signatures.

    Annotations become part of the page, which is not to be read again afterwards. Raises PdfiumError.
    """
    page = document[index]
    before = _texts(page, boxes)
    flattened = pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
    page.close()
    if flattened != pdfium.FLATTEN_SUCCESS:
        return []
    page = document[index]
    after = _texts(page, boxes)
    page.close()
    pairs = zip(before, after, strict=True)
    return [f"[stamp: {text}]" for text in (one_line(new.replace(old, "", 1)) for old, new in pairs) if text]


def said(found: Mapping[int, Mapping[str, int]]) -> tuple[str, ...]:
    """Sentences for the notes and marks of pages, by number, that are left out."""
    texts = {
        _HIDDEN: "notes that a viewer does not show, left out (--hidden reads them)",
        _MARKED: "highlighted or underlined passages, which are read without the marks",
    }
    sentences = []
    for why, text in texts.items():
        pages = [number for number, counts in found.items() if counts.get(why)]
        if pages:
            count = sum(found[number][why] for number in pages)
            on = "page" if len(pages) == 1 else "pages"
            sentences.append(f"{text}: {count} on {on} {format_page_ranges(pages)}.")
    return tuple(sentences)


def _is_signature(subtype: int, handle: Any) -> bool:
    return subtype == pdfium.FPDF_ANNOT_WIDGET and string_of(handle, "FT") == "Sig"


def _author(handle: Any) -> str:
    author = one_line(string_of(handle, "T"))
    return f" by {author}" if author else ""


def _line(what: str, quoted: str, content: str) -> str:
    if not quoted:
        return f"[{what}: {content}]" if content else f"[{what}]"
    return f'[{what}: "{quoted}"{f" - {content}" if content else ""}]'


def _quoted(handle: Any, textpage: pypdfium2.PdfTextPage) -> str:
    """The passage that the annotation marks."""
    parts = []
    points = pdfium.FS_QUADPOINTSF()
    for index in range(pdfium.FPDFAnnot_CountAttachmentPoints(handle)):
        if pdfium.FPDFAnnot_GetAttachmentPoints(handle, index, points):
            across = (points.x1, points.x2, points.x3, points.x4)
            up = (points.y1, points.y2, points.y3, points.y4)
            parts.append(textpage.get_text_bounded(min(across), min(up), max(across), max(up)))
    return one_line(" ".join(parts))


def _texts(page: pypdfium2.PdfPage, boxes: tuple[Box, ...]) -> list[str]:
    textpage = page.get_textpage()
    try:
        return [one_line(textpage.get_text_bounded(*box)) for box in boxes]
    finally:
        textpage.close()
