"""What PDFium finds on a page of a PDF.

PDFium is not thread-safe: read one document at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pypdfium2
import pypdfium2.raw as raw

from hipcli.documents.readers import hidden_text, legible, pdf_forms, pdf_notes
from hipcli.documents.readers.actual_text import has_actual_text
from hipcli.documents.readers.fake_bold import without_copies
from hipcli.documents.readers.pdf_text import clean
from hipcli.documents.readers.right_to_left import has_right_to_left
from hipcli.documents.readers.scans import Box, unread_pictures
from hipcli.documents.readers.vertical import in_columns

_MOST_OBJECTS = 1000  # that are looked at to see whether a page has text


class UnreadableError(Exception):
    """PDFium cannot open the file; pypdf may."""


@dataclass(frozen=True)
class PdfiumPage:
    """A page with what there is to know about its text.

    `pictures` are parts of it that may be pictures of text. `values` are lines for form fields and notes, which a
    viewer shows over the page. `lost`: the page cannot be loaded. `incomplete`: it draws characters that `text` lacks;
    `doubtful`: its fonts do not say which letters they show. `replaced`: it has right-to-left text that the file gives
    other text for.
    """

    number: int
    label: str | None
    text: str = ""
    values: str = ""
    lost: bool = False
    incomplete: bool = False
    doubtful: bool = False
    replaced: bool = False
    pictures: Sequence[Box] = ()
    hidden: hidden_text.Hidden | None = None
    notes: Mapping[str, int] = field(default_factory=dict)


def open_document(data: bytes, password: str | None) -> pypdfium2.PdfDocument:
    """The document, a context manager. Raises UnreadableError."""
    # A password meant for another document of the batch must not lock this one, so try without it too.
    for attempt in dict.fromkeys((password, None)):
        try:
            return pypdfium2.PdfDocument(data, password=attempt)
        except pypdfium2.PdfiumError as error:
            failure = error
    raise UnreadableError from failure


def read_page(document: pypdfium2.PdfDocument, index: int, keep_hidden: bool) -> PdfiumPage:
    """The page with this index, from 0."""
    number, label = index + 1, document.get_page_label(index) or None
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return PdfiumPage(number, label, lost=True)
    try:
        textpage = page.get_textpage()
        try:
            return _read(document, page, textpage, number, label, keep_hidden)
        finally:
            textpage.close()
    except pypdfium2.PdfiumError:
        return PdfiumPage(number, label, lost=True)
    finally:
        page.close()


def _read(
    document: pypdfium2.PdfDocument,
    page: pypdfium2.PdfPage,
    textpage: pypdfium2.PdfTextPage,
    number: int,
    label: str | None,
    keep_hidden: bool,
) -> PdfiumPage:
    # Not get_text_bounded: on rotated pages, and where fonts change, it runs lines into each other.
    drawn = str(textpage.get_text_range())
    hidden = hidden_text.hidden(page, textpage)
    shown = drawn if keep_hidden or not hidden else hidden_text.without(textpage, hidden)
    shown = without_copies(shown, textpage)
    if page.get_rotation() == 0:
        shown = in_columns(shown, textpage)
    text = clean(shown)
    notes, counts = pdf_notes.notes(page, drawn)
    values = [pdf_forms.values(document, page, drawn), notes]
    return PdfiumPage(
        number,
        label,
        text,
        values="\n".join(filter(None, values)),
        incomplete=(not drawn.strip() and _draws_text(page)) or legible.incomplete(page, textpage),
        doubtful=legible.doubtful(page, textpage, text),
        replaced=has_right_to_left(text) and has_actual_text(page),
        pictures=unread_pictures(page, textpage),
        hidden=hidden,
        notes=counts,
    )


def _draws_text(page: pypdfium2.PdfPage) -> bool:
    indices = range(min(raw.FPDFPage_CountObjects(page), _MOST_OBJECTS))
    kinds = {raw.FPDFPageObj_GetType(raw.FPDFPage_GetObject(page, index)) for index in indices}
    return bool(kinds & {raw.FPDF_PAGEOBJ_TEXT, raw.FPDF_PAGEOBJ_FORM})
