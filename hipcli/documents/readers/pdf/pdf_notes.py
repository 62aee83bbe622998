"""Notes on a page of a PDF, text that was added over it, stamps, passages struck out: annotations other than fields."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.pdf import pdf_forms
from hipcli.documents.readers.pdf.annotations import (
    MOST,
    Drawn,
    annotations,
    beyond_most,
    box_of,
    comment_of,
    draws_text,
    holds,
    one_line,
    show,
    string_of,
)
from hipcli.documents.readers.pdf.page_objects import IMAGE, Box, page_objects

_HIDDEN = "hidden"
_MARKED = "marked"
_BEYOND = "beyond"

_MARKS = (pdfium.FPDF_ANNOT_HIGHLIGHT, pdfium.FPDF_ANNOT_UNDERLINE, pdfium.FPDF_ANNOT_SQUIGGLY)
# Popups repeat the note they belong to.
_NO_NOTES = (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP, pdfium.FPDF_ANNOT_WIDGET)
_STAMP = "stamp"
_DRAWN = {
    pdfium.FPDF_ANNOT_STAMP: _STAMP,
    pdfium.FPDF_ANNOT_WATERMARK: _STAMP,
    pdfium.FPDF_ANNOT_FREETEXT: "added text",
    pdfium.FPDF_ANNOT_WIDGET: "signature",
}


class Notes(NamedTuple):
    """Lines for the notes of a page; `counts` of those that are not among them, by why; what only draws text."""

    lines: tuple[str, ...] = ()
    counts: Mapping[str, int] = {}
    drawn: tuple[Drawn, ...] = ()


def notes(
    page: pypdfium2.PdfPage,
    textpage: pypdfium2.PdfTextPage,
    is_shown: Callable[[int, Any], bool],
    keep_hidden: bool = False,
) -> Notes:
    """The notes of a page.

    `is_shown` says whether a viewer shows the annotation with this index and handle; `keep_hidden` are others, too.
    """
    lines: list[str] = []
    counts: Counter[str] = Counter({_BEYOND: beyond_most(page)})
    drawn: list[Drawn] = []
    for index, subtype, handle in annotations(page):
        if subtype in _NO_NOTES and not _is_signature(subtype, handle):
            continue
        content = comment_of(handle)
        if not keep_hidden and not is_shown(index, handle):
            counts[_HIDDEN] += bool(content) or (subtype in _DRAWN and draws_text(handle))
        elif subtype == pdfium.FPDF_ANNOT_STRIKEOUT:
            lines.append(_line("struck out", _quoted(handle, textpage), content))
        elif subtype == pdfium.FPDF_ANNOT_FREETEXT and content:
            if not holds(textpage.get_text_bounded(*box_of(handle)), content):
                lines.append(f"[{_DRAWN[subtype]}: {content}]")
        elif subtype in _DRAWN:
            drawn.append(Drawn(index, _DRAWN[subtype], box_of(handle), content))
        elif subtype == pdfium.FPDF_ANNOT_FILEATTACHMENT and content:
            lines.append(_line("attached file", "", content))
        elif content:
            lines.append(_line(f"note{_author(handle)}", _quoted(handle, textpage), content))
        elif subtype in _MARKS:
            counts[_MARKED] += 1
    return Notes(tuple(lines), counts, tuple(drawn))


def drawn_text(
    document: pypdfium2.PdfDocument, index: int, drawn: Sequence[Drawn]
) -> tuple[list[str], tuple[Drawn, ...]]:
    """Lines for the text that annotations show on the page with this index: stamps, signatures, buttons.

    And the stamps that are pictures. The annotations become part of the page, so that `document` is to be a copy
    that nothing else is read from. Raises PdfiumError.
    """
    page = document[index]
    for item in drawn:
        show(page, item.number)
    count = pdfium.FPDFPage_CountObjects(page)
    pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
    page.close()
    page = document[index]
    for number in range(count):  # what the page draws itself, before its annotations
        pdfium.FPDFPageObj_SetIsActive(pdfium.FPDFPage_GetObject(page, number), False)
    texts = _texts(page, [item.box for item in drawn])
    pictures = [item.box for item in page_objects(page)[count:] if item.kind == IMAGE]
    page.close()
    lines = []
    for item, text in zip(drawn, texts, strict=True):
        comment = "" if holds(text, item.comment) else item.comment
        if shown := " - ".join(filter(None, (text, comment))):
            lines.append(f"[{item.what}{' = ' if item.what.startswith('form: ') else ': '}{shown}]")
    unread = [item for item, text in zip(drawn, texts, strict=True) if not text and item.what == _STAMP]
    return lines, tuple(item for item in unread if any(_overlap(item.box, box) for box in pictures))


def said(found: Mapping[int, Mapping[str, int]]) -> tuple[str, ...]:
    """Sentences for the notes and marks of pages, by number, that are left out."""
    texts = {
        _HIDDEN: "notes that a viewer does not show, left out (--hidden reads them)",
        pdf_forms.HIDDEN: "form fields whose value a viewer does not show, left out (--hidden reads them)",
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


def said_of_many(found: Mapping[int, Mapping[str, int]]) -> tuple[str, ...]:
    """A sentence for the pages, by number, that have more annotations than are read."""
    return tuple(
        f"page {number} has {MOST + counts[_BEYOND]:,} notes and fields, of which the first {MOST:,} were read."
        for number, counts in found.items()
        if counts.get(_BEYOND)
    )


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


def _texts(page: pypdfium2.PdfPage, boxes: Sequence[Box]) -> list[str]:
    textpage = page.get_textpage()
    try:
        return [one_line(textpage.get_text_bounded(*box)) for box in boxes]
    finally:
        textpage.close()


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
