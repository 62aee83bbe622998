"""OpenDocument texts (odt, ott) and presentations (odp): a section for each heading, a page for each slide."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.office.headings import by_heading
from hipcli.documents.readers.office.ooxml import count
from hipcli.documents.readers.office.open_document import OpenPackage, OpenText, Styles, embedded_documents
from hipcli.documents.readers.office.sections import Section, to_pages
from hipcli.documents.readers.office.xml_package import find

_RUNNING = ("header", "header-left", "header-first", "footer", "footer-left", "footer-first")


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The text or slides in `data`. Raises HipError where the file is damaged or protected; `where` names it."""
    package = OpenPackage(data, where, options)
    try:
        return _read(package, options)
    except RecursionError as error:
        raise package.damaged("it is nested too deep") from error


def _read(package: OpenPackage, options: ReadOptions) -> Content:
    root = package.xml("content.xml")
    styles = package.styles(root)
    text = OpenText(package, styles, options.hidden)
    body = find(root, "office:body")
    slides = find(body, "office:presentation")
    warnings: list[str] = []
    if slides is not None:
        sections, hidden = _slides(slides, text, styles)
        if hidden:
            warnings.append(f"slides that are hidden when the presentation is shown were read: {hidden}.")
    else:
        headers, footers = _running_lines(package, text)
        blocks = text.blocks(body) if body is not None else iter(())
        sections = by_heading(blocks, text.note_texts, headers, footers)
    pages = to_pages(sections)
    return Content(
        kind="odt" if slides is None else "odp",
        reader="hip",
        unit="slide" if slides is not None else "section" if len(pages) > 1 or pages[0].label else None,
        pages=pages,
        warnings=(*warnings, *text.warnings()),
        dropped=(*_deletions(root), *text.dropped()),
        members=(*text.members, *embedded_documents(package)),
    )


def _slides(root: Element, text: OpenText, styles: Styles) -> tuple[list[Section], str]:
    """The slides, and which of them are hidden."""
    sections: list[Section] = []
    hidden = []
    running = {
        (found.tag, found.get("presentation:name")): text.inline(found).strip()
        for found in root
        if found.tag in ("presentation:header-decl", "presentation:footer-decl")
    }
    for number, page in enumerate(root.iter("draw:page"), 1):
        if styles.property(page.get("draw:style-name"), "presentation:visibility") == "hidden":
            hidden.append(number)
        title = next((frame for frame in page.iter("draw:frame") if frame.get("presentation:class") == "title"), None)
        label = text.line(title) if title is not None else ""
        if title is not None and label:
            title.clear()
        lines = [block.text for block in text.blocks(page)]
        for kind in ("header", "footer"):
            line = running.pop((f"presentation:{kind}-decl", page.get(f"presentation:use-{kind}-name")), "")
            lines += [f"[{kind}: {line}]"] if line else []
        for notes in page.iter("presentation:notes"):
            found = [block.text for block in text.blocks(notes)]
            lines += ["[notes]", *found] if found else []
        sections.append((label or None, lines))
    return sections, format_page_ranges(hidden)


def _running_lines(package: OpenPackage, text: OpenText) -> tuple[list[str], list[str]]:
    """The different headers and footers that have text other than the number of the page."""
    found: dict[str, dict[str, None]] = {"header": {}, "footer": {}}
    if "styles.xml" in package:
        for page in package.xml("styles.xml").iter("style:master-page"):
            for name in _RUNNING:
                element = find(page, f"style:{name}")
                line = "" if element is None or element.get("style:display") == "false" else text.line(element)
                if line.strip("#-–—|/ "):
                    kind = name.partition("-")[0]
                    found[kind][f"[{kind}: {line}]"] = None
    return list(found["header"]), list(found["footer"])


def _deletions(root: Element) -> Iterator[str]:
    deletions = sum(1 for _ in root.iter("text:deletion"))
    if deletions:
        were = count(deletions, "deletion was", "deletions were")
        yield f"its text is read with the tracked changes made: {were} left out."
