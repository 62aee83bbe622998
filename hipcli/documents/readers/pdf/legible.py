"""Whether the text that a PDF gives for a page is the one that a reader sees.

The glyphs of a font need not say which letters they show. Then text comes out that looks like text and is not, or
nothing comes out at all.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from ctypes import addressof, create_string_buffer
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.pdf.page_objects import TEXT, PageObject
from hipcli.documents.readers.pdf.plausible import has_few_letters, is_plausible
from hipcli.documents.readers.pictures import ocr

_SAMPLE = 64  # characters of a page that are asked first
_DOUBTFUL_SHARE = 0.1  # of a page's characters
_CONTROLS = 0.05  # of the characters that their font has no letter for
_LEAST_EMPTY = 3  # pieces of text in a font that say nothing, before another reader is asked
_EMPTY_SHARE = 0.5
_LONGEST_NAME = 200
# Such fonts are never missing; what seems empty in them are spaces, of which OCR makes pieces of their own.
_WESTERN = ("Times", "Helvetica", "Arial,", "ArialMT", "Arial-", "Courier", "Symbol", "ZapfDingbats", "Georgia",
            "Verdana", "Calibri", "Cambria", "Tahoma")  # fmt: skip
_MUCH_LONGER = 1.2
_MOST_SCRIPTS = 6  # in one text: letters of more are those of no language
_SCRIPT_SAMPLE = 1000  # letters
_NO_TEXT = {"Cc", "Cn", "Co", "Cs"}  # categories of Unicode: controls, unassigned, private, surrogates


def doubtful(textpage: pypdfium2.PdfTextPage, text: str) -> bool:
    """Whether a tenth of the page's characters or more are probably not those that it shows."""
    if _share_of_no_text(text) >= _DOUBTFUL_SHARE or has_few_letters(text):
        return True
    count = textpage.count_chars()
    sample = range(0, count, max(1, count // _SAMPLE))
    if not any(_unmapped(textpage, index) for index in sample):
        return False
    unmapped = [index for index in range(count) if _unmapped(textpage, index)]
    if len(unmapped) < _DOUBTFUL_SHARE * count:
        return False
    # Many fonts number their glyphs as Unicode does. In others the number of a space, for one, is a control character.
    controls = sum(pdfium.FPDFText_GetUnicode(textpage, index) < ord(" ") for index in unmapped)
    return controls >= _CONTROLS * len(unmapped) or not is_plausible(text)


def incomplete(objects: Sequence[PageObject]) -> bool:
    """Whether the page, which draws `objects`, draws characters that PDFium gives no text for.

    So it does with Chinese, Japanese and Korean fonts that neither the file nor the system has.
    """
    pieces: Counter[int] = Counter()
    empty: Counter[int] = Counter()
    fonts: dict[int, Any] = {}
    for item in objects:
        if item.kind != TEXT:
            continue
        font = pdfium.FPDFTextObj_GetFont(item.handle)
        if pdfium.FPDFFont_GetIsEmbedded(font):
            continue
        name = addressof(font.contents)
        fonts[name] = font
        pieces[name] += 1
        empty[name] += item.box[0] >= item.box[2] or item.box[1] >= item.box[3]
    suspects = (name for name, count in empty.items() if count >= max(_LEAST_EMPTY, _EMPTY_SHARE * pieces[name]))
    return not all(_base_name(fonts[name]).startswith(_WESTERN) for name in suspects)


def better(first: str, second: str) -> str:
    """The better of two readings of a page: the second only if it has many more letters, and those of a language."""
    if _share_of_no_text(second) >= _DOUBTFUL_SHARE or _scripts(second) > _MOST_SCRIPTS or not is_plausible(second):
        return first
    if not is_plausible(first) and not is_longer(first, second):
        return second
    return second if is_longer(second, first) else first


def is_longer(one: str, other: str) -> bool:
    """Whether `one` has many more letters and digits."""
    return _letters(one) > _MUCH_LONGER * _letters(other)


def said(pages: Sequence[int], tried: bool) -> str:
    """The warning for pages that stay doubtful; `tried`: it was tried to recognise them."""
    which = f"{'page' if len(pages) == 1 else 'pages'} {format_page_ranges(pages)}"
    if not ocr.available():
        hint = f"{ocr.INSTALL} recognises them"
    else:
        hint = "nothing could be recognised there" if tried else "--ocr auto recognises them"
    return f"{which}: the fonts do not say which letters they show, and what is read is probably wrong; {hint}."


def _base_name(font: Any) -> str:
    buffer = create_string_buffer(_LONGEST_NAME)
    pdfium.FPDFFont_GetBaseFontName(font, buffer, _LONGEST_NAME)
    return buffer.value.decode("utf-8", "replace")


def _unmapped(textpage: pypdfium2.PdfTextPage, index: int) -> bool:
    return bool(pdfium.FPDFText_HasUnicodeMapError(textpage, index) == 1)


def _share_of_no_text(text: str) -> float:
    drawn = "".join(text.split())
    if not drawn or (drawn.isprintable() and "\ufffd" not in drawn):
        return 0.0
    wrong = sum(character == "\ufffd" or unicodedata.category(character) in _NO_TEXT for character in drawn)
    return wrong / len(drawn)


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _scripts(text: str) -> int:
    """How many scripts the letters at the beginning of `text` are of, by the first word of their names."""
    letters = "".join(filter(str.isalpha, text[: 4 * _SCRIPT_SAMPLE]))[:_SCRIPT_SAMPLE]
    return len({unicodedata.name(letter, "").partition(" ")[0] for letter in letters})
