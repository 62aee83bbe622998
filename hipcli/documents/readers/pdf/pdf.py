"""PDF to pages of text, page by page: PDFium reads, pypdf where PDFium reads badly, and OCR where there is no text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pypdfium2

from hipcli.documents.document import Content, Member, Page
from hipcli.documents.heartbeat import beat
from hipcli.documents.options import Ocr, ReadOptions
from hipcli.documents.page_ranges import PageRanges, format_page_ranges
from hipcli.documents.readers.pdf import hidden_text, legible, pdf_attachments, pdf_notes, right_to_left
from hipcli.documents.readers.pdf.actual_text import without_actual_text
from hipcli.documents.readers.pdf.hyphens import join_hyphenated
from hipcli.documents.readers.pdf.other_readers import in_missing_fonts, second_look
from hipcli.documents.readers.pdf.page_objects import Box
from hipcli.documents.readers.pdf.pdf_layers import Layers
from hipcli.documents.readers.pdf.pdf_text import clean
from hipcli.documents.readers.pdf.pdf_xfa import xfa
from hipcli.documents.readers.pdf.pdfium import PdfiumPage, UnreadableError, open_document, read_page
from hipcli.documents.readers.pdf.running_lines import drop_running_lines
from hipcli.documents.readers.pdf.scans import recognise_pages
from hipcli.documents.readers.pictures import ocr
from hipcli.errors import HipError, first_line

_TEXT_ALONE = "only its text could be read: form fields, notes, attached files and hidden text were not looked for."


@dataclass(frozen=True)
class _Reading:
    """The pages that were asked for, and what is known about their reading."""

    pages: tuple[PdfiumPage, ...]
    page_count: int
    reader: str = "pdfium"
    recognised: frozenset[int] = frozenset()
    damage: str | None = None  # what pypdf complains of
    warnings: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The pages of the PDF in `data` that `options.pages` asks for, all by default, and the files attached to it.

    `where` names the document in errors. Raises HipError where the file is damaged or protected, has none of
    the pages asked for, or no text on any of them.
    """
    try:
        with open_document(data, options.password) as document:
            reading = _with_pdfium(document, data, where, options)
    except UnreadableError:
        reading = _with_pypdf(data, where, options)
    _check(reading, where, options)

    numbers = [page.number for page in reading.pages]
    labels = [page.label for page in reading.pages]
    texts, running = drop_running_lines(
        [page.text for page in reading.pages], labels, options.running_lines, numbers=numbers
    )
    pages = tuple(
        Page(page.number, "\n".join(filter(None, (text, page.values))), page.label, page.number in reading.recognised)
        for page, text in zip(reading.pages, join_hyphenated(texts), strict=True)
    )
    return Content(
        kind="pdf",
        unit="page",
        reader=reading.reader,
        pages=pages,
        warnings=(*_warnings(reading, options.page_ranges), *reading.warnings),
        dropped=(*reading.dropped, *running),
        members=reading.members,
    )


def _with_pdfium(document: pypdfium2.PdfDocument, data: bytes, where: str, options: ReadOptions) -> _Reading:
    count = len(document)
    layers = Layers(data, options.password)
    pages = [read_page(document, index, layers, options.hidden) for index in _indices(count, options.page_ranges)]
    found = {page.number: page.hidden for page in pages}
    hidden = hidden_text.said(found, options.hidden)
    counts = {page.number: page.notes for page in pages}
    notes = pdf_notes.said(counts)
    form, said_of_form = xfa(document)
    if form and pages:
        pages[0] = replace(pages[0], values="\n".join(filter(None, (pages[0].values, form))))
    pages, missing, said_of_fonts = in_missing_fonts(pages, data, options)
    pages, second, damage, said_of_second = second_look(pages, data, where, options)
    pages, said_of_order = _in_reading_order(pages, data, options.password)

    attached = [(page.number - 1, index) for page in pages for index in page.attached]
    members, said_of_files = pdf_attachments.members(document, attached, data, options.password)
    pages = _with_stamps(pages, data, options.password)
    stamps = {page.number: {stamp.number for stamp in page.stamps} for page in pages}
    texts = {page.number: page.text for page in pages}
    recognition = recognise_pages(document, texts, to_recognise(pages, options.ocr), stamps)
    doubtful = [page.number for page in pages if page.doubtful and page.number not in recognition.texts]
    pages = [replace(page, text=recognition.texts.get(page.number, page.text)) for page in pages]
    return _Reading(
        tuple(pages),
        count,
        reader=", ".join(
            [
                "pdfium",
                *(f"{name} on {_pages(on)}" for name, on in (("pdfminer.six", missing), ("pypdf", second)) if on),
            ]
        ),
        recognised=frozenset(recognition.texts),
        damage=damage,
        warnings=(
            *([legible.said(doubtful, tried=options.ocr != "off")] if doubtful else []),
            *pdf_notes.said_of_many(counts),
            *said_of_fonts,
            *said_of_second,
            *said_of_form,
            *said_of_order,
            *said_of_files,
            *(hidden if options.hidden else ()),
            *hidden_text.said_of_doubtful(found),
            *recognition.warnings,
        ),
        dropped=(*(() if options.hidden else hidden), *notes),
        members=members,
    )


def _with_stamps(pages: Sequence[PdfiumPage], data: bytes, password: str | None) -> list[PdfiumPage]:
    """The pages with the text of their stamps; those stamps are left that are pictures."""
    if not any(page.stamps for page in pages):
        return list(pages)
    with open_document(data, password) as copy:
        return [_with_stamps_of(copy, page) if page.stamps else page for page in pages]


def _with_stamps_of(copy: pypdfium2.PdfDocument, page: PdfiumPage) -> PdfiumPage:
    lines, pictures = pdf_notes.drawn_text(copy, page.number - 1, page.stamps)
    return replace(
        page,
        values="\n".join(filter(None, (page.values, *lines))),
        stamps=pictures,
        pictures=(*page.pictures, *(stamp.box for stamp in pictures)),
    )


def to_recognise(pages: Sequence[PdfiumPage], when: Ocr) -> dict[int, Sequence[Box] | None]:
    """Parts of pages, by number, whose text is to be recognised; None is all of the page."""
    if when == "off":
        return {}
    parts: dict[int, Sequence[Box] | None] = {}
    for page in pages:
        if when == "force" or page.doubtful or not page.text.strip():
            parts[page.number] = None
        elif page.pictures:
            parts[page.number] = page.pictures
    return parts


def _with_pypdf(data: bytes, where: str, options: ReadOptions) -> _Reading:
    """A file that PDFium cannot open: as pypdf writes it anew, or else its text alone."""
    from hipcli.documents.readers.pdf.second_reader import SecondReader

    second = SecondReader(data, where, options.password)
    damage = second.messages[0] if second.messages else None
    anew = second.written_anew()
    if anew is not None:
        try:
            with open_document(anew, None) as document:
                if len(document) == second.page_count:
                    reading = _with_pdfium(document, anew, where, replace(options, password=None))
                    return replace(reading, reader=f"pypdf, then {reading.reader}", damage=damage or reading.damage)
        except UnreadableError:
            pass
    pages = []
    for index in _indices(second.page_count, options.page_ranges):
        text = right_to_left.order_right_to_left(clean(second.text(index)))
        pages.append(PdfiumPage(index + 1, second.label(index), text))
        beat()
    damage = second.messages[0] if second.messages else None
    return _Reading(tuple(pages), second.page_count, reader="pypdf", damage=damage, warnings=(_TEXT_ALONE,))


def _in_reading_order(
    pages: Sequence[PdfiumPage], data: bytes, password: str | None
) -> tuple[list[PdfiumPage], tuple[str, ...]]:
    """The pages with right-to-left lines in the order in which they are read, and warnings where that is doubtful."""
    texts = {page.number: page.text for page in pages}
    warnings = []
    replaced = [page.number for page in pages if page.replaced]
    if replaced:
        try:
            again = _without_replacement(data, password, replaced)
        except Exception as error:  # on damaged files pypdf raises anything, from KeyError to RecursionError
            again = {}
            warnings.append(f"{_pages(replaced)} could not be read without its replacement text ({first_line(error)}).")
        texts |= {number: right_to_left.better(texts[number], text) for number, text in again.items()}
    texts = {number: right_to_left.order_right_to_left(text) for number, text in texts.items()}
    if doubtful := [number for number, text in texts.items() if right_to_left.is_doubtful(text)]:
        warnings.append(f"{_pages(doubtful)}: right-to-left words may be in the wrong order.")
    return [replace(page, text=texts[page.number]) for page in pages], tuple(warnings)


def _without_replacement(data: bytes, password: str | None, numbers: Sequence[int]) -> dict[int, str]:
    """The text of these pages as their fonts have it."""
    plain = without_actual_text(data, password, [number - 1 for number in numbers])
    with open_document(plain, None) as document:
        layers = Layers(plain, None)
        return {number: read_page(document, index, layers).text for index, number in enumerate(numbers)}


def _indices(count: int, ranges: PageRanges | None) -> list[int]:
    return [index for index in range(count) if ranges is None or index + 1 in ranges]


def _check(reading: _Reading, where: str, options: ReadOptions) -> None:
    if not reading.page_count:
        raise HipError(f"{where}: a PDF without pages", "make or download the file again")
    if not reading.pages and options.pages is not None:
        raise HipError(
            f"{where}: has {_count(reading.page_count)}, and none that --pages asks for",
            f"ask for pages from 1 to {reading.page_count}",
        )
    if reading.members or any(page.text or page.values for page in reading.pages):
        return
    if reading.damage:
        hint = "download it again, or repair it: qpdf IN.pdf OUT.pdf"
        raise HipError(f"{where}: no text, and the file is damaged ({reading.damage})", hint)
    if not ocr.available():
        hint = f"recognise the text: {ocr.INSTALL}"
    else:
        hint = "recognise the text with --ocr auto" if options.ocr == "off" else "look at it in a viewer"
    raise HipError(f"{where}: no text on any of {_count(len(reading.pages))} (scanned?)", hint)


def _warnings(reading: _Reading, ranges: PageRanges | None) -> Iterator[str]:
    if reading.damage:
        yield f"the file is damaged, and text may be missing ({reading.damage})."
    lost = [page.number for page in reading.pages if page.lost]
    if lost:
        yield f"{_pages(lost)} cannot be read: the file is damaged."
    incomplete = [page.number for page in reading.pages if page.incomplete]
    if incomplete:
        yield f"{_pages(incomplete)}: text in fonts that neither the file nor this machine has was not read."
    empty = [page.number for page in reading.pages if not (page.text or page.values or page.lost)]
    if empty:
        yield f"no text on {len(empty)} of {_count(len(reading.pages))}: {format_page_ranges(empty)}."
    if ranges is not None and ranges.highest() > reading.page_count:
        yield f"--pages asks for page {ranges.highest()} but the last one is {reading.page_count}."


def _pages(numbers: Sequence[int]) -> str:
    """`page 3`, `pages 3-5`."""
    return f"{'page' if len(numbers) == 1 else 'pages'} {format_page_ranges(numbers)}"


def _count(count: int) -> str:
    return f"{count} page" if count == 1 else f"{count} pages"
