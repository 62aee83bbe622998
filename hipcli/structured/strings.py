"""The string that is being written in an answer that is JSON: all in which it can loop.

Rows of a table may well be alike, and so may the values in them; nothing keeps an answer from repeating those.
"""

from collections.abc import Sequence


class OpenString:
    """Finds the tokens of the string that is open at the end of an answer."""

    def __init__(self) -> None:
        self._inside = False
        self._escaped = False
        self._start = 0

    def push(self, text: str, count: int) -> None:
        """Take the text that the answer's last token has added; it now has `count` tokens."""
        for character in text:
            if self._escaped:
                self._escaped = False
            elif character == '"':
                self._inside = not self._inside
                self._start = count
            else:
                self._escaped = self._inside and character == "\\"

    def said(self, produced: Sequence[int]) -> Sequence[int]:
        """Those of the answer's tokens that come behind the one that opened the string; none where none is open."""
        return produced[self._start :] if self._inside else ()
