"""PDF to pages of text. PDFium reads; pypdf stands in where PDFium cannot open a file or finds too little.

PDFium is not thread-safe: read one document at a time.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pypdfium2

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.page_ranges import PageRanges, format_page_ranges
from hipcli.documents.readers.hyphens import join_hyphenated
from hipcli.documents.readers.pdf_text import clean
from hipcli.documents.readers.right_to_left import is_right_to_left
from hipcli.documents.readers.running_lines import drop_running_lines
from hipcli.documents.readers.scans import recognise_pages
from hipcli.errors import HipError

_MAX_SHARE_WITHOUT_TEXT = 0.5


@dataclass(frozen=True)
class _Reading:
    """The pages that were asked for, as one library reads them."""

    pages: tuple[Page, ...]
    page_count: int
    faults: tuple[str, ...] = ()

    @property
    def without_text(self) -> list[int]:
        return [page.number for page in self.pages if not page.text]

    @property
    def legible(self) -> bool:
        return len(self.without_text) <= _MAX_SHARE_WITHOUT_TEXT * len(self.pages)


class _UnreadableError(Exception):
    """One library cannot open the file; the other may."""


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The pages of the PDF in `data` that `options.pages` asks for, all by default.

    `where` names the document in errors. Raises HipError where the file is damaged or protected, has none of
    the pages asked for, or has no text on most of them.
    """
    ranges, password = options.page_ranges, options.password
    try:
        reading = _read_with_pdfium(data, ranges, password)
    except _UnreadableError:
        reading = _read_with_pypdf(data, where, ranges, password)
    else:
        if not reading.legible or is_right_to_left([page.text for page in reading.pages]):
            reading = _second_opinion(reading, data, where, ranges, password)
    reading = _with_recognised(reading, data, options)
    _check(reading, where, ranges)

    labels = [page.label for page in reading.pages]
    texts, dropped = drop_running_lines([page.text for page in reading.pages], labels, options.running_lines)
    texts = join_hyphenated(texts)
    pages = tuple(replace(page, text=text) for page, text in zip(reading.pages, texts, strict=True))
    warnings = (*reading.faults, *_warnings(reading, ranges))
    return Content(kind="pdf", unit="page", reader="pdfium", pages=pages, warnings=warnings, dropped=dropped)


def _read_with_pdfium(data: bytes, ranges: PageRanges | None, password: str | None) -> _Reading:
    with _open_with_pdfium(data, password) as document:
        count = len(document)
        pages = []
        for number in range(1, count + 1):
            if ranges is None or number in ranges:
                label = document.get_page_label(number - 1) or None
                pages.append(Page(number, clean(_page_text(document, number - 1)), label))
    return _Reading(tuple(pages), count)


def _open_with_pdfium(data: bytes, password: str | None) -> pypdfium2.PdfDocument:
    # A password meant for another document of the batch must not lock this one, so try without it too.
    for attempt in dict.fromkeys((password, None)):
        try:
            return pypdfium2.PdfDocument(data, password=attempt)
        except pypdfium2.PdfiumError as error:
            failure = error
    raise _UnreadableError from failure


def _with_recognised(reading: _Reading, data: bytes, options: ReadOptions) -> _Reading:
    """The reading, with the text of pages and pictures that have none, where it can be recognised."""
    try:
        with _open_with_pdfium(data, options.password) as document:
            texts = {page.number: page.text for page in reading.pages}
            recognition = recognise_pages(document, texts, (), options.ocr)
    except _UnreadableError:
        return reading
    pages = tuple(
        replace(page, text=recognition.texts[page.number], recognised=True)
        if page.number in recognition.texts
        else page
        for page in reading.pages
    )
    return replace(reading, pages=pages, faults=(*reading.faults, *recognition.warnings))


def _page_text(document: pypdfium2.PdfDocument, index: int) -> str:
    """The raw text of a page, "" if the page cannot be loaded."""
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return ""
    try:
        textpage = page.get_textpage()
        try:
            # Not get_text_bounded: on rotated pages, and where fonts change, it runs lines into each other.
            return str(textpage.get_text_range())
        finally:
            textpage.close()
    except pypdfium2.PdfiumError:
        return ""
    finally:
        page.close()


def _read_with_pypdf(data: bytes, where: str, ranges: PageRanges | None, password: str | None) -> _Reading:
    import pypdf

    pages = []
    with _pypdf_messages() as messages:
        try:
            reader = pypdf.PdfReader(io.BytesIO(data))
            if reader.is_encrypted and not (reader.decrypt(password or "") or reader.decrypt("")):
                raise _protected(where, password)
            count = len(reader.pages)
            labels = reader.page_labels if "/PageLabels" in reader.root_object else None
            for number in range(1, count + 1):
                if ranges is None or number in ranges:
                    text = clean(reader.pages[number - 1].extract_text())
                    pages.append(Page(number, text, labels[number - 1] if labels else None))
        except HipError:
            raise
        except Exception as error:  # on damaged files pypdf raises anything, from KeyError to RecursionError
            raise _unreadable(data, where) from error
    faults = (f"the file is damaged, text may be missing ({messages[0]}).",) if messages else ()
    return _Reading(tuple(pages), count, faults)


@contextmanager
def _pypdf_messages() -> Iterator[list[str]]:
    """Collect what pypdf logs; Python would print it to standard error."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(" ".join(record.getMessage().split()))

    logger = logging.getLogger("pypdf")
    handler = Collector(logging.WARNING)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _second_opinion(
    first: _Reading, data: bytes, where: str, ranges: PageRanges | None, password: str | None
) -> _Reading:
    """pypdf's reading if it is no worse: it is the better of the two for right-to-left scripts."""
    try:
        second = _read_with_pypdf(data, where, ranges, password)
    except HipError:
        return first
    return second if len(second.without_text) <= len(first.without_text) else first


def _check(reading: _Reading, where: str, ranges: PageRanges | None) -> None:
    if not reading.page_count:
        raise HipError(f"{where}: a PDF without pages", "make or download the file again")
    if not reading.pages and ranges is not None:
        raise HipError(
            f"{where}: has {_pages(reading.page_count)}, and none that --pages asks for",
            f"ask for pages from 1 to {reading.page_count}",
        )
    if not reading.legible:
        share = f"{len(reading.without_text)} of {_pages(len(reading.pages))}"
        raise HipError(
            f"{where}: no text layer on {share} (scanned?)",
            "recognise the text first: ocrmypdf IN.pdf OUT.pdf",
        )


def _warnings(reading: _Reading, ranges: PageRanges | None) -> Iterator[str]:
    if reading.without_text:
        share = f"{len(reading.without_text)} of {_pages(len(reading.pages))}"
        yield f"no text on {share}: {format_page_ranges(reading.without_text)}."
    if ranges is not None and ranges.highest() > reading.page_count:
        yield f"--pages asks for page {ranges.highest()} but the last one is {reading.page_count}."


def _pages(count: int) -> str:
    return f"{count} page" if count == 1 else f"{count} pages"


def _protected(where: str, password: str | None) -> HipError:
    if password is None:
        return HipError(
            f"{where}: protected by a password",
            "give it with --password, or in the environment variable HIPCLI_PASSWORD",
        )
    return HipError(f"{where}: the password is wrong", "check --password (or HIPCLI_PASSWORD)")


def _unreadable(data: bytes, where: str) -> HipError:
    if b"%PDF-" not in data[:1024]:
        return HipError(f"{where}: not a PDF, despite its name", "look at what it is with the command file")
    if b"/Encrypt" in data:
        return HipError(
            f"{where}: damaged, or encrypted in an unknown way",
            "make a plain copy first: qpdf --decrypt IN.pdf OUT.pdf",
        )
    return HipError(f"{where}: damaged PDF", "download it again, or repair it: qpdf IN.pdf OUT.pdf")
