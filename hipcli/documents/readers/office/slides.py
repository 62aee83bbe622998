"""Presentations (pptx, pptm, ppsx) to text, a slide a page with its title as label and its notes at its end."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.office.drawing_text import Drawing
from hipcli.documents.readers.office.ooxml import OfficePackage, children, count
from hipcli.documents.readers.office.sections import Section, to_pages
from hipcli.documents.readers.office.unseen_on_slides import Unseen, slide_size, unseen_on
from hipcli.documents.readers.office.xml_package import find, text_of

_TITLES = ("title", "ctrTitle")
_SLIDE_NUMBER = "sldNum"


@dataclass
class _Slides:
    """The slides read so far, and what was met on the way."""

    package: OfficePackage
    hidden_shapes: bool
    sections: list[Section] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)
    pictures: int = 0
    media: int = 0
    shapes_left_out: int = 0
    backgrounds: set[str] = field(default_factory=set)
    authors: dict[str, str] = field(default_factory=dict)
    behind: dict[str, Element] = field(default_factory=dict)
    unseen: dict[int, Unseen] = field(default_factory=dict)


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The slides in `data` in the order of the presentation.

    Raises HipError where the file is damaged or protected; `where` names it.
    """
    package = OfficePackage(data, where, options)
    try:
        return _read(package, options)
    except RecursionError as error:
        raise package.damaged("it is nested too deep") from error


def _read(package: OfficePackage, options: ReadOptions) -> Content:
    part = package.main_part("ppt/presentation.xml")
    relationships = package.relationships(part)
    slides = _Slides(package, options.hidden, authors=_authors(package, part))
    missing = 0
    root = package.xml(part)
    size = slide_size(root)
    for entry in root.iter("p:sldId"):
        relationship = relationships.get(entry.get("r:id", ""))
        if relationship is None or relationship.target not in package:
            missing += 1
        else:
            _read_slide(slides, relationship.target, size)
    members, warnings = package.embedded()
    return Content(
        kind="pptx",
        reader="hip",
        unit="slide",
        pages=to_pages(slides.sections),
        warnings=(*warnings, *_warnings(slides, missing)),
        dropped=(*_dropped(slides), *package.macros()),
        members=members,
    )


def _read_slide(slides: _Slides, part: str, size: tuple[int, int]) -> None:
    root = slides.package.xml(part)
    number = len(slides.sections) + 1
    slides.unseen[number] = unseen_on(root, _behind(slides, part), size)
    if root.get("show") in ("0", "false"):
        slides.hidden.append(number)
    title, lines = "", []
    drawing = Drawing(slides.package, part, slides.hidden_shapes)
    for shape in _shapes(root):
        if not title and _placeholder(shape) in _TITLES:
            title = " ".join(" ".join(drawing.shape(shape)).split())
        else:
            lines += drawing.shape(shape, lambda shape: _placeholder(shape) != _SLIDE_NUMBER)
    _add_counts(slides, drawing)
    lines += _background(slides, part)
    lines += _comments(slides, part)
    lines += _notes(slides, part)
    slides.sections.append((title or None, lines))


def _behind(slides: _Slides, part: str) -> list[Element]:
    """The layout of a slide, its master and its theme, which many slides share."""
    found = []
    for kind in ("slideLayout", "slideMaster", "theme"):
        for related in slides.package.related(part, kind)[:1]:
            part = related
            if part not in slides.behind:
                slides.behind[part] = slides.package.xml(part)
            found.append(slides.behind[part])
    return found


def _shapes(root: Element) -> list[Element]:
    tree = find(root, "p:cSld/p:spTree")
    return [] if tree is None else list(children(tree))


def _placeholder(shape: Element) -> str | None:
    """The kind of placeholder that a shape fills, "obj" by default; None where it fills none."""
    found = next(shape.iter("p:ph"), None) if shape.tag != "p:grpSp" else None
    return None if found is None else found.get("type", "obj")


def _background(slides: _Slides, part: str) -> Iterator[str]:
    """The lines that layout and master show on a slide, once in a presentation."""
    for layout in slides.package.related(part, "slideLayout"):
        for background in (layout, *slides.package.related(layout, "slideMaster")):
            if background in slides.backgrounds:
                continue
            slides.backgrounds.add(background)
            drawing = Drawing(slides.package, background, slides.hidden_shapes)
            for shape in _shapes(slides.package.xml(background)):
                for line in drawing.shape(shape, lambda shape: _placeholder(shape) is None):
                    if line not in slides.backgrounds:
                        slides.backgrounds.add(line)
                        yield f"[on every slide of this layout: {line.strip()}]"


def _notes(slides: _Slides, part: str) -> list[str]:
    lines: list[str] = []
    for notes in slides.package.related(part, "notesSlide"):
        drawing = Drawing(slides.package, notes, slides.hidden_shapes)
        for shape in _shapes(slides.package.xml(notes)):
            lines += drawing.shape(shape, lambda shape: _placeholder(shape) not in (_SLIDE_NUMBER, "sldImg"))
        slides.shapes_left_out += drawing.hidden_shapes
    return ["[notes]", *lines] if lines else []


def _comments(slides: _Slides, part: str) -> Iterator[str]:
    for comments in slides.package.related(part, "comments"):
        root = slides.package.xml(comments)
        for comment in root.iter():
            if comment.tag in ("p:cm", "p188:cm", "p188:reply"):
                body = find(comment, "p188:txBody")
                text = text_of(body, "a:t") if body is not None else text_of(find(comment, "p:text"), "p:text")
                author = slides.authors.get(comment.get("authorId", ""), "")
                if text.strip():
                    yield f"[comment{f' by {author}' if author else ''}: {' '.join(text.split())}]"


def _authors(package: OfficePackage, part: str) -> dict[str, str]:
    return {
        author.get("id", ""): author.get("name", "")
        for authors in package.related(part, "commentAuthors", "authors")
        for author in package.xml(authors).iter()
        if author.tag in ("p:cmAuthor", "p188:author")
    }


def _add_counts(slides: _Slides, drawing: Drawing) -> None:
    slides.pictures += drawing.pictures
    slides.media += drawing.media
    slides.shapes_left_out += drawing.hidden_shapes


def _warnings(slides: _Slides, missing: int) -> Iterator[str]:
    if missing:
        yield f"the file is damaged: {count(missing, 'slide is', 'slides are')} missing."
    if slides.hidden:
        yield f"slides that are hidden when the presentation is shown were read: {format_page_ranges(slides.hidden)}."
    if slides.shapes_left_out and slides.hidden_shapes:
        yield f"{count(slides.shapes_left_out, 'hidden shape was', 'hidden shapes were')} read."
    unseen = {number: found.characters for number, found in slides.unseen.items() if found.characters}
    if unseen:
        where = f"tiny or in the colour of the background, on slides: {format_page_ranges([*unseen])}"
        yield f"{count(sum(unseen.values()), 'character was', 'characters were')} read that may not be seen: {where}."
    outside = {number: found.outside for number, found in slides.unseen.items() if found.outside}
    if outside:
        where = f"beside the slide, on slides: {format_page_ranges([*outside])}"
        yield f"{count(sum(outside.values()), 'character was', 'characters were')} read that may not be seen: {where}."
    if slides.pictures:
        yield f"{count(slides.pictures, 'picture was', 'pictures were')} not read."
    if slides.media:
        yield f"{count(slides.media, 'video or recording was', 'videos and recordings were')} not read."


def _dropped(slides: _Slides) -> Iterator[str]:
    if slides.shapes_left_out and not slides.hidden_shapes:
        yield f"{count(slides.shapes_left_out, 'hidden shape was', 'hidden shapes were')} left out."
