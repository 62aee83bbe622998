"""What PDFium finds on a page of a PDF.

PDFium is not thread-safe: read one document at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pypdfium2

from hipcli.documents.readers.pdf import hidden_text, legible, pdf_attachments, pdf_forms, pdf_notes
from hipcli.documents.readers.pdf.actual_text import has_actual_text
from hipcli.documents.readers.pdf.annotations import Drawn, is_flagged_unseen, is_on_layer
from hipcli.documents.readers.pdf.fake_bold import without_copies
from hipcli.documents.readers.pdf.page_objects import TEXT, Box, PageObject, page_objects
from hipcli.documents.readers.pdf.pdf_layers import Layers
from hipcli.documents.readers.pdf.pdf_text import clean
from hipcli.documents.readers.pdf.right_to_left import has_right_to_left
from hipcli.documents.readers.pdf.scans import unread_pictures
from hipcli.documents.readers.pdf.vertical import in_columns


class UnreadableError(Exception):
    """PDFium cannot open the file; pypdf may."""


@dataclass(frozen=True)
class PdfiumPage:
    """A page with what there is to know about its text.

    `pictures` are parts of it that may be pictures of text. `values` are lines for form fields and notes, which a
    viewer shows over the page. `lost`: the page cannot be loaded. `incomplete`: it draws characters that `text` lacks;
    `doubtful`: its fonts do not say which letters they show. `replaced`: it has right-to-left text that the file gives
    other text for. `cut`: text of it is left out because it is hidden. `notes` counts those, and fields, that are not
    in `values`; `stamps` are annotations that show text which is nowhere else; `attached` are the annotations that are
    files.
    """

    number: int = 0
    label: str | None = None
    text: str = ""
    values: str = ""
    lost: bool = False
    incomplete: bool = False
    doubtful: bool = False
    replaced: bool = False
    pictures: Sequence[Box] = ()
    hidden: hidden_text.Hidden = field(default_factory=hidden_text.Hidden)
    cut: bool = False
    notes: Mapping[str, int] = field(default_factory=dict)
    stamps: tuple[Drawn, ...] = ()
    attached: tuple[int, ...] = ()


def open_document(data: bytes, password: str | None) -> pypdfium2.PdfDocument:
    """The document, a context manager. Raises UnreadableError."""
    # A password meant for another document of the batch must not lock this one, so try without it too.
    for attempt in dict.fromkeys((password, None)):
        try:
            document = pypdfium2.PdfDocument(data, password=attempt)
        except pypdfium2.PdfiumError as error:
            failure = error
        else:
            pdf_forms.open_form(document)
            return document
    raise UnreadableError from failure


def read_page(document: pypdfium2.PdfDocument, index: int, layers: Layers, keep_hidden: bool = False) -> PdfiumPage:
    """The page with this index, from 0."""
    number, label = index + 1, document.get_page_label(index) or None
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return PdfiumPage(number, label, lost=True)
    try:
        objects = page_objects(page)
        # Before the text is looked for: hidden text is made inactive.
        hidden = hidden_text.take_out(page, objects, keep_hidden, lambda: layers.may_be_off)
        textpage = page.get_textpage()
        try:
            found = _read(document, page, textpage, objects, partial(_is_shown, layers, index), keep_hidden)
        finally:
            textpage.close()
        cut = bool(hidden.characters) and not keep_hidden
        return replace(found, number=number, label=label, hidden=hidden, cut=cut)
    except pypdfium2.PdfiumError:
        return PdfiumPage(number, label, lost=True)
    finally:
        page.close()


def _read(
    document: pypdfium2.PdfDocument,
    page: pypdfium2.PdfPage,
    textpage: pypdfium2.PdfTextPage,
    objects: Sequence[PageObject],
    is_shown: Callable[[int, Any], bool],
    keep_hidden: bool,
) -> PdfiumPage:
    # Not get_text_bounded: on rotated pages, and where fonts change, it runs lines into each other.
    drawn = str(textpage.get_text_range())
    shown = without_copies(drawn, textpage)
    if page.get_rotation() == 0:
        shown = in_columns(shown, textpage)
    text = clean(shown)
    fields = pdf_forms.values(document, page, textpage, is_shown, keep_hidden)
    notes = pdf_notes.notes(page, textpage, is_shown, keep_hidden)
    draws_text = any(item.kind == TEXT for item in objects)
    return PdfiumPage(
        text=text,
        values="\n".join((*fields.lines, *notes.lines)),
        incomplete=(draws_text and not drawn.strip()) or legible.incomplete(objects),
        doubtful=legible.doubtful(textpage, text),
        replaced=has_right_to_left(text) and has_actual_text(page),
        pictures=unread_pictures(page, textpage, objects),
        notes={**notes.counts, **fields.counts},
        stamps=(*fields.drawn, *notes.drawn),
        attached=pdf_attachments.attached(page),
    )


def _is_shown(layers: Layers, page: int, index: int, handle: Any) -> bool:
    """Whether a viewer shows the annotation with this index and handle on the page with that index."""
    return not is_flagged_unseen(handle) and not (is_on_layer(handle) and layers.hides_annotation(page, index))
