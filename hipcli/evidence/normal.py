"""Text as quotes are compared: without what typesetting adds, and with the way back to the text itself."""

import re
import unicodedata
from bisect import bisect_right

_HYPHENS = "\\-\u00ad\u2010\u2011"
_DASHES = "\u2012-\u2015\u2212"
_QUOTES = "\"'`\u00ab\u00bb\u2018-\u201f\u2039\u203a\u300c-\u300f\uff02\uff07"
# What is not the same in both forms: a hyphen with the line end behind it, quotation marks and apostrophes, dashes and
# white space, and characters that may be compositions of others, such as ligatures and full-width letters.
_OTHER = re.compile(
    rf"(?P<space>(?:[\s{_DASHES}]|(?<=\s)[{_HYPHENS}](?=\s))+)|(?P<hyphen>[{_HYPHENS}](?:[ \t]*\r?\n\s*)?)"
    rf"|(?P<quote>[{_QUOTES}])|[^\x00-\x7f]"
)


class Normal:
    """`text` without hyphens, quotation marks and apostrophes, with one space for white space and dashes, and with
    ligatures and other compatibility characters as what they stand for (NFKC).

    `form` is that; `start` and `stop` lead from a place in it back to one in `text`.
    """

    def __init__(self, text: str) -> None:
        pieces: list[str] = []
        self._form_at: list[int] = []
        self._text_at: list[int] = []
        size = done = 0
        for match in _OTHER.finditer(text):
            if match["hyphen"] or match["quote"]:
                replacement = ""
            elif match["space"]:
                replacement = " "
            else:
                replacement = unicodedata.normalize("NFKC", match[0])
            if replacement == match[0]:
                continue
            if match.start() > done:
                self._mark(size, done)
                pieces.append(text[done : match.start()])
                size += match.start() - done
            if replacement == " " and (not size or pieces[-1].endswith(" ")):
                replacement = ""  # of a dash between hyphens
            if replacement:
                self._mark(size, match.start())
                pieces.append(replacement)
                size += len(replacement)
            done = match.end()
        self._mark(size, done)
        pieces.append(text[done:])
        self.form = "".join(pieces)
        self._length = len(text)

    def start(self, place: int) -> int:
        """Where in the text the character at `place` of the form comes from."""
        index = bisect_right(self._form_at, place) - 1
        after = self._text_at[index + 1] if index + 1 < len(self._text_at) else self._length
        # A replacement may be longer than what it stands for.
        return min(self._text_at[index] + place - self._form_at[index], max(self._text_at[index], after - 1))

    def stop(self, place: int) -> int:
        """Where in the text what comes before `place` of the form ends."""
        return self.start(place - 1) + 1 if place else 0

    def _mark(self, form: int, text: int) -> None:
        self._form_at.append(form)
        self._text_at.append(text)
