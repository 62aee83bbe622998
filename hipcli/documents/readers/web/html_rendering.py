"""The text of an HTML document while it is made: sections, texts inside texts, and counts of what is left out."""

from collections.abc import Callable, Iterator, Mapping

from selectolax.lexbor import LexborNode

from hipcli.documents.readers.web.flowing_text import FlowingText
from hipcli.documents.readers.web.html_elements import Attributes
from hipcli.documents.readers.web.html_markup import Markup, Section
from hipcli.documents.readers.web.html_tables import Table

Leave = Callable[[], None]  # what is to be done where an element ends

# Where a line may or may not be broken, which is nothing to read; and the space that never breaks.
_UNPRINTED = {0xAD: None, 0x200B: None, 0xFEFF: None, 0xA0: " "}


class Rendering:
    """What elements write to `out`.

    `titles` are those of sections by the id of an element; without them headings begin sections. `outer` are the
    texts in which those of cells, headings and the like will stand. `next_title` is that of a section which begins as
    soon as no cell is open. `verbatim` and `headings` count such elements that are open.
    """

    def __init__(self, titles: Mapping[str, str] | None) -> None:
        self.titles = titles
        self.out = FlowingText()
        self.outer: list[FlowingText] = []
        self.next_title: str | None = None
        self.title: str | None = None
        self.hidden = self.navigation = self.scripts = self.pictures = self.frames = self.media = 0
        self.link_characters = self.target_characters = 0
        self.verbatim = self.headings = 0
        self.lists: list[Iterator[str]] = []
        self.tables: list[Table] = []
        self._sections: list[Section] = []
        self._section_title: str | None = None

    def result(self) -> Markup:
        """The whole, which ends here."""
        self._end_section()
        return Markup(
            self.title,
            tuple(self._sections),
            self.hidden,
            self.navigation,
            self.scripts,
            self.pictures,
            self.frames,
            self.media,
        )

    def text(self, text: str) -> None:
        """Add the text of a node."""
        if not text.isascii():
            text = text.translate(_UNPRINTED)
        (self.out.add_lines if self.verbatim else self.out.add)(text)

    def push(self) -> None:
        """Begin a text that will stand in this one, or be left out."""
        self.outer.append(self.out)
        self.out = FlowingText()

    def pop(self) -> str:
        """End it."""
        text = str(self.out)
        self.out = self.outer.pop()
        return text

    def begin_section(self, title: str | None) -> None:
        """End the section that is open, and begin another."""
        self._end_section()
        self._section_title, self.next_title = title, None
        self.out = self.out.following()

    def _end_section(self) -> None:
        text, title = str(self.out), self._section_title
        if title is not None:
            first, _, rest = text.partition("\n")
            text = rest.lstrip("\n") if _words(first) == _words(title) else text
        if text.strip() or title is not None:
            self._sections.append(Section(title, text))


# Enters an element; returns what is to be done where it ends.
Enter = Callable[[Rendering, LexborNode, Attributes], Leave | None]


def around(before: Leave, after: Leave) -> Leave:
    """Do the one at once, the other where the element ends."""
    before()
    return after


def pass_over() -> None:
    """What is returned where an element's children are not to be rendered."""


def _words(text: str) -> list[str]:
    return text.casefold().split()
