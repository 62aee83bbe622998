"""EPUB books: their chapters in the order of reading, titled by the table of contents."""

from collections.abc import Iterator

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.archives.member_names import safe_name
from hipcli.documents.readers.web.epub_package import Item, Package
from hipcli.documents.readers.web.html import markup_dropped, markup_warnings
from hipcli.documents.readers.web.html_markup import Markup, Section, total
from hipcli.documents.readers.web.html_repair import repaired
from hipcli.documents.readers.web.html_text import read_markup
from hipcli.errors import HipError

_MOST_NAMED = 5


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The book in `data`, a page a chapter. Raises HipError if it is damaged, protected, or no book."""
    book = _Book(Package(data, where, options), where, options)
    chapters = book.chapters()
    counts = total(book.markups)
    return Content(
        kind="epub",
        reader="selectolax",
        unit="chapter",
        pages=tuple(Page(number, text, title) for number, (title, text) in enumerate(chapters, 1)),
        warnings=(*book.warnings, *markup_warnings(counts)),
        dropped=markup_dropped(counts),
    )


class _Book:
    def __init__(self, package: Package, where: str, options: ReadOptions) -> None:
        self._package = package
        self._where = where
        self._options = options
        self._titles: dict[str, dict[str, str]] = {}  # by path and fragment
        for path, fragment, title in package.contents():
            self._titles.setdefault(path.lower(), {}).setdefault(fragment, title)
        self.markups: list[Markup] = []
        self.warnings: list[str] = []

    def chapters(self) -> list[tuple[str | None, str]]:
        """Titles and texts. Text that the table of contents does not mention belongs to the chapter before it."""
        chapters: list[tuple[str | None, list[str]]] = []
        for item in self._in_order():
            for section in self._sections(item):
                if section.title is not None or not chapters or not self._titles:
                    chapters.append((section.title, [section.text]))
                else:
                    chapters[-1][1].append(section.text)
        self._say_unread()
        joined = [(title, "\n\n".join(text.strip("\n") for text in texts if text.strip())) for title, texts in chapters]
        return [(title, text) for title, text in joined if text or title]

    def _in_order(self) -> Iterator[Item]:
        items = self._package.items
        missing = []
        for name in self._package.spine:
            item, seen = items.get(name), {name}
            while item is not None and not item.is_text and item.fallback in items and item.fallback not in seen:
                seen.add(item.fallback)
                item = items[item.fallback]
            if item is None or item.path not in self._package:
                missing.append(item.path if item else name)
            elif item.path.lower() in self._package.encrypted:
                hint = "open it with the program that it was bought for"
                raise HipError(f"{self._where}: is protected against copying (DRM)", hint)
            elif item.is_text:
                yield item
            else:
                self.warnings.append(
                    f"{safe_name(item.path)} is in the order of reading, but is no text, and is not read."
                )
        if missing:
            self.warnings.append(f"{_listed(missing)} in the order of reading, but missing.")

    def _sections(self, item: Item) -> tuple[Section, ...]:
        titles = dict(self._titles.get(item.path.lower(), {}))
        first = titles.pop("", None)
        markup = self._markup(item.path, titles)
        self.markups.append(markup)
        sections = markup.sections
        unmarked = [title for title in titles.values() if title not in {section.title for section in sections}]
        # The first entry for a file may lead to a place in it that is not there.
        first = first or (unmarked[0] if unmarked else None)
        if first is not None and sections and sections[0].title is None:
            return (Section(first, _without_title(sections[0].text, first)), *sections[1:])
        if first is not None and not sections:
            return (Section(first, ""),)
        if not self._titles and sections and markup.title is not None:
            return (Section(markup.title, _without_title(sections[0].text, markup.title)), *sections[1:])
        return sections

    def _markup(self, path: str, titles: dict[str, str]) -> Markup:
        return read_markup(
            repaired(self._package.text(path)),
            titles,
            self._options.hidden,
            keep_navigation=self._options.running_lines,
        )

    def _say_unread(self) -> None:
        """Say what has text and is in no chapter, and how many pictures there are."""
        items = self._package.items
        read = {items[name].path for name in self._package.spine if name in items}
        others = [item.path for item in items.values() if item.is_text and "nav" not in item.properties]
        unread = [path for path in (*others, *self._package.unlisted()) if path not in read and path in self._package]
        with_text = [path for path in unread if self._markup(path, {}).characters]
        if with_text:
            self.warnings.append(f"{_listed(with_text)} not in the order of reading, and not read.")
        pictures = sum(item.media_type.startswith("image/") for item in items.values())
        if pictures:
            self.warnings.append("1 picture is not read." if pictures == 1 else f"{pictures:,} pictures are not read.")


def _without_title(text: str, title: str) -> str:
    first, _, rest = text.partition("\n")
    return rest.lstrip("\n") if first.casefold().split() == title.casefold().split() else text


def _listed(paths: list[str]) -> str:
    """ "a, b and 3 more are", "a is"."""
    more = len(paths) - _MOST_NAMED
    named = ", ".join(map(safe_name, paths[:_MOST_NAMED])) + (f" and {more:,} more" if more > 0 else "")
    return f"{named} {'is' if len(paths) == 1 else 'are'}"
