"""Numbers in the head or foot of a page, and whether they are written as page numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

_MAX_LENGTH = 200  # characters of a running line
_MAX_NUMBERS = 40  # in a running line
_MAX_PAGE_WORD = 14  # characters, with what may stand around it
_NUMBER = re.compile(r"\d{1,9}(?!\d)")
_ROMAN = re.compile(r"(c{0,3})(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})", re.IGNORECASE)
_ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_ORNAMENTS = " \t\u00a0-\u2010\u2011\u2012\u2013\u2014\u2015~|/.,:;*\u2022\u00b7()[]{}<>_\u00ab\u00bb"

# "Page" and "of" as documents print them beside a number, in the languages that most are written in.
_PAGE = (
    "page|pages|pg|pag|p|seite|s|blatt|página|pág|pagina|strona|str|strana|sida|sid|side|sivu|oldal|sayfa|lk|"
    "страница|стр|сторінка|σελίδα|σελ|trang|halaman|hal|صفحة|الصفحة|صفحه|עמוד|第|ページ|頁|页|쪽|페이지"
)
_OF = "of|von|de|sur|di|van|av|af|z|ze|iz|из|з|από|dari|trong|من|از|מתוך|共|/"
_PAGE_BEFORE = re.compile(rf"(?<![^\W\d_])(?:{_PAGE})\s?[.:#]?\s?$", re.IGNORECASE)
_PAGE_AFTER = re.compile(r"\.?\s?(?:ページ|頁|页|쪽|페이지|oldal|sivu|lk|strana|sida|side)(?![^\W\d_])", re.IGNORECASE)
_TOTAL = re.compile(rf"\s?(?:{_OF})\s?(\d{{1,9}})(?!\d)", re.IGNORECASE)


@dataclass(frozen=True)
class Numbered:
    """A number in a line, and what the line says `before` and `after` it.

    `bare`: the line says no more than the number of a page; `named`: it says that this is the number of a page.
    Only numbers of one `style` count the same pages.
    """

    value: int
    written: str
    before: str = ""
    after: str = ""
    style: str = ""
    bare: bool = False
    named: bool = False

    @property
    def first(self) -> bool:
        return not self.before.strip(_ORNAMENTS)

    @property
    def last(self) -> bool:
        return not self.after.strip(_ORNAMENTS)


def numbers_in(line: str, label: str | None) -> Iterator[Numbered]:
    """The numbers in `line`, of a page that the document calls `label`; none if it is too long to be a running line."""
    line = line.strip()
    if len(line) > _MAX_LENGTH:
        return
    core = line.strip(_ORNAMENTS)
    if core and core == label and not core.isdecimal() and (number := _NUMBER.search(core)):
        # Such as "A-12". Where a label has several numbers none of them would count all its pages.
        yield Numbered(int(number[0]), core, style=f"{core[: number.start()]}#", bare=True, named=True)
    elif roman := _roman(core):
        yield Numbered(roman, core, style="roman", bare=True)
    for match in islice(_NUMBER.finditer(line), _MAX_NUMBERS):
        before, after = line[: match.start()], line[match.end() :]
        total = _TOTAL.match(after)
        rest = after[total.end() :] if total else after
        word_before = _PAGE_BEFORE.search(before[-_MAX_PAGE_WORD:])
        word_after = _PAGE_AFTER.match(rest)
        others = (before[: -len(word_before[0])] if word_before else before) + (
            rest[word_after.end() :] if word_after else rest
        )
        yield Numbered(
            int(match[0]),
            match[0],
            before,
            after,
            style=f"of {total[1]}" if total else "",
            bare=not others.strip(_ORNAMENTS),
            named=bool(word_before or word_after),
        )


def _roman(text: str) -> int:
    match = _ROMAN.fullmatch(text)
    if not text or not match:
        return 0
    values = [_ROMAN_VALUES[letter] for letter in text.lower()]
    following = [*values[1:], 0]
    return sum(-value if value < next_one else value for value, next_one in zip(values, following, strict=True))
