"""Pages that PDFium reads badly, read by other libraries, which are slower: pdfminer.six and pypdf."""

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from hipcli.documents.heartbeat import beat
from hipcli.documents.options import ReadOptions
from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.pdf import legible
from hipcli.documents.readers.pdf.pdf_text import clean
from hipcli.documents.readers.pdf.pdfium import PdfiumPage
from hipcli.errors import HipError


def in_missing_fonts(
    pages: Sequence[PdfiumPage], data: bytes, options: ReadOptions
) -> tuple[list[PdfiumPage], list[int], tuple[str, ...]]:
    """The pages, with pdfminer.six's text where PDFium has no font for it; which these are; and warnings."""
    asked = [page for page in pages if page.incomplete and not page.cut]
    if not asked:
        return list(pages), [], ()
    from hipcli.documents.readers.pdf import missing_fonts

    until = monotonic() + options.seconds
    messages: list[str] = []
    better, others = {}, {}
    left = list(asked)
    try:
        for text in missing_fonts.texts(data, options.password, [page.number - 1 for page in asked], messages):
            page = left.pop(0)
            if legible.better(page.text, clean(text)) is not page.text:
                better[page.number] = replace(page, text=clean(text), incomplete=False)
            elif not legible.is_longer(clean(text), page.text):  # what looked like lost text was white space
                others[page.number] = replace(page, incomplete=False)
            beat()
            if monotonic() > until:
                break
    except Exception:  # on damaged files it raises anything; the pages stay incomplete, which is said
        pass
    complaint = f"{_pages(list(better))}, read by pdfminer.six: {messages[0]}." if better and messages else None
    warnings = tuple(filter(None, (complaint, _said_of_time([page.number for page in left], until))))
    return [(better | others).get(page.number, page) for page in pages], list(better), warnings


def second_look(
    pages: Sequence[PdfiumPage], data: bytes, where: str, options: ReadOptions
) -> tuple[list[PdfiumPage], list[int], str | None, tuple[str, ...]]:
    """The pages, with pypdf's text where that is better than PDFium's; which these are; what pypdf complains of; and
    warnings.
    """
    nothing = not any(page.text or page.values for page in pages)
    # It would read the text that was left out as hidden, too.
    asked = [page for page in pages if (nothing or page.doubtful or page.lost) and not page.cut]
    if not asked:
        return list(pages), [], None, ()
    from hipcli.documents.readers.pdf.second_reader import SecondReader

    try:
        second = SecondReader(data, where, options.password)
    except HipError as error:
        return list(pages), [], error.message.removeprefix(f"{where}: "), ()
    until = monotonic() + options.seconds
    better = {}
    left = list(asked)
    while left and monotonic() < until:
        page = left.pop(0)
        text = clean(second.text(page.number - 1))
        if text.strip() and (not page.text.strip() or legible.better(page.text, text) is text):
            better[page.number] = replace(page, text=text, lost=False, doubtful=False)
        beat()
    damage = second.messages[0] if second.messages and nothing else None
    warnings = tuple(filter(None, [_said_of_time([page.number for page in left], until)]))
    return [better.get(page.number, page) for page in pages], list(better), damage, warnings


def _said_of_time(left: Sequence[int], until: float) -> str | None:
    if not left or monotonic() <= until:
        return None
    return f"{_pages(left)} might be read better by another library, for which there was no time: see --read-seconds."


def _pages(numbers: Sequence[int]) -> str:
    return f"{'page' if len(numbers) == 1 else 'pages'} {format_page_ranges(numbers)}"
