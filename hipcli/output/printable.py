"""What of a text a terminal can show as it is, and how the rest is made visible.

A terminal obeys control characters, and shows nothing of characters that hide or turn around others. Both become
escapes such as `\\x1b`. Some invisible characters are part of how words and emoji are written; these pass where they
can have that purpose, and nowhere else.
"""

import re
import unicodedata
from collections.abc import Callable

from hipcli.characters import NOT_TEXT, UNSEEN

Escape = Callable[[str], str]

_JOINERS = "\u034f\u200c\u200d"  # between two letters or emoji
_SELECTORS = r"\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # of a form of the character before
_DOUBTFUL = re.compile(f"[{UNSEEN}]")
_NOT_TEXT = re.compile(f"[{NOT_TEXT}]")
_SELECTOR = re.compile(f"[{_SELECTORS}]")
# Thai, Lao, Myanmar, Khmer: words are not set apart by spaces, but by the zero-width one.
_WITHOUT_SPACES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_WAITING = {"\r", "\xad", "\u200b", *_JOINERS}  # whose purpose shows in what follows
_FIRST_JOINED = "\u0590"  # scripts that join letters come behind Latin, Greek, Cyrillic and Armenian


def python_escape(character: str) -> str:
    """`\\x1b`, `\\u202e` and the like."""
    return character.encode("unicode_escape").decode("ascii")


def _replacement(character: str) -> str:
    return "\ufffd"


def as_text(text: str, escape: Escape = _replacement) -> str:
    """`text` with U+FFFD, or escapes, in place of what no text holds."""
    return _NOT_TEXT.sub(lambda match: escape(match[0]), text)


class Printable:
    """Makes a text that comes in pieces fit for a terminal; what it passes does not depend on where pieces end."""

    def __init__(self, escape: Escape = python_escape) -> None:
        self._escape = escape
        self._before = ""  # the last character that was passed on
        self._held = ""  # one that depends on what follows

    def feed(self, piece: str) -> str:
        """What can be shown after this piece. A last character that depends on the next one is kept for later."""
        text = self._held + piece
        self._held = text[-1:] if text[-1:] in _WAITING else ""
        return self._shown(text[: len(text) - len(self._held)], self._held)

    def end(self) -> str:
        """What was kept, at the end of the text."""
        text, self._held = self._held, ""
        shown = self._shown(text, "")
        self._before = ""
        return shown

    def _shown(self, text: str, after: str) -> str:
        whole = self._before + text + after
        start = len(self._before)

        def show(match: "re.Match[str]") -> str:
            at = match.start()
            if at < start or at == start + len(text):  # neighbours only
                return match[0]
            return match[0] if _fits(whole, at) else self._escape(match[0])

        shown = _DOUBTFUL.sub(show, whole)
        self._before = text[-1:] or self._before
        return shown[start : len(shown) - len(after)]


def printable(text: str, escape: Escape = python_escape) -> str:
    """`text` as a terminal can show it: characters that would steer it, or hide something, are written as escapes.

    Line feeds and tabs are left alone, and so are joiners within words and emoji.
    """
    made = Printable(escape)
    return made.feed(text) + made.end()


def _fits(text: str, at: int) -> bool:
    """Whether the doubtful character at this place is where it has a purpose."""
    character, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if character == "\r":
        return after == "\n"
    if _SELECTOR.match(character):
        return before > " " and before.isprintable() and not _DOUBTFUL.match(before)
    if character == "\xad":
        return before.isalpha() and after.isalpha()
    if character == "\u200b":
        return bool(_WITHOUT_SPACES.match(before) and _WITHOUT_SPACES.match(after))
    return character in _JOINERS and _joins(before) and _joins(after)


def _joins(character: str) -> bool:
    """Whether joiners beside this character can change how it is written: letters, their marks, and emoji."""
    if character < _FIRST_JOINED:
        return False
    if _DOUBTFUL.match(character):
        return bool(_SELECTOR.match(character))
    return unicodedata.category(character)[0] in "LM" or unicodedata.category(character) in ("So", "Sk")
