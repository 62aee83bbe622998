"""Text put together from pieces as a browser lets it flow: white space collapsed, blocks on lines of their own."""

import re

_SPACES = re.compile(r"[ \t\n\r\f]+")
_MOST_PREFIXES = 10  # deeper lists and quotations are not indented further


class FlowingText:
    """A text that grows at its end."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._breaks = 0  # newlines that stand before the next piece
        self._space = False  # whether a space does
        self._compact = False  # just after a bullet, where a paragraph makes no blank line
        self._prefixes: list[list[str]] = []  # what stands before the next line, and before every line after it

    def add(self, text: str) -> None:
        """Text whose white space counts as one space."""
        text = _SPACES.sub(" ", text)
        if text.startswith(" "):
            self._space = True
        words = text.strip(" ")
        if words:
            self._put(words)
            self._space = text.endswith(" ")

    def add_lines(self, text: str) -> None:
        """Text whose lines and spaces stay as they are."""
        text = text.replace("\r", "\n")
        body = text.rstrip("\n")
        if body.startswith("\n"):
            self.line(len(body) - len(body.lstrip("\n")))
            body = body.lstrip("\n")
        if body:
            lines = body.split("\n")
            self._put(lines[0])
            if len(lines) > 1:
                prefix = self._prefix()
                self._parts.append("".join(f"\n{prefix}{line}" for line in lines[1:]))
        if body != text:
            self.line(len(text) - len(body))

    def line(self, breaks: int = 1) -> None:
        """What comes next begins a line, after `breaks` newlines or more."""
        if self._compact:
            breaks = min(breaks, 1)
        self._breaks = max(self._breaks, breaks)

    def block(self) -> None:
        """What comes next stands below a blank line."""
        self.line(2)

    def newline(self) -> None:
        """A newline more; several of them make one blank line."""
        if not self._compact:
            self._breaks = max(self._breaks, min(self._breaks + 1, 2))

    def space(self) -> None:
        """What comes next is another word."""
        self._space = True

    def indent(self, first: str, rest: str) -> None:
        """Lines from here on begin with `rest`, and the first of them with `first`."""
        self._prefixes.append([first, rest])
        self._compact = bool(first.strip())

    def dedent(self) -> None:
        """The end of the last `indent`."""
        self._prefixes.pop()
        self._compact = False

    def following(self) -> "FlowingText":
        """An empty text at the same indentation."""
        other = FlowingText()
        other._prefixes = [[rest, rest] for _, rest in self._prefixes]
        return other

    @property
    def mark(self) -> int:
        """Where the text ends now, for `since`."""
        return len(self._parts)

    def since(self, mark: int) -> str:
        """The text since that mark."""
        return "".join(self._parts[mark:])

    @property
    def last(self) -> str:
        """The last character, or "" where a line or a word begins."""
        return "" if self._breaks or self._space or not self._parts else self._parts[-1][-1:]

    def __str__(self) -> str:
        return "".join(self._parts)

    def _put(self, text: str) -> None:
        if self._breaks or not self._parts:
            self._parts.append("\n" * (self._breaks if self._parts else 0) + self._prefix())
        elif self._space:
            self._parts.append(" ")
        self._parts.append(text)
        self._breaks = 0
        self._space = self._compact = False

    def _prefix(self) -> str:
        prefix = "".join(first for first, _ in self._prefixes[:_MOST_PREFIXES])
        for pair in self._prefixes[:_MOST_PREFIXES]:
            pair[0] = pair[1]
        return prefix
