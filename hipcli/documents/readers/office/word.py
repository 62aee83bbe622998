"""Word documents (docx, docm, dotx) to text, a section for each heading.

The XML is walked here, as no library reads all that a reader of the document sees: see docs/decisions/006.
"""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office.headings import by_heading
from hipcli.documents.readers.office.ooxml import OfficePackage, count
from hipcli.documents.readers.office.sections import to_pages
from hipcli.documents.readers.office.word_story import Shared, Story
from hipcli.documents.readers.office.word_styles import styles_and_lists

_NOTES = {
    "w:footnoteReference": ("footnotes", "w:footnote"),
    "w:endnoteReference": ("endnotes", "w:endnote"),
    "w:commentReference": ("comments", "w:comment"),
}


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The document in `data`: headers, then a section for each heading with its footnotes, then footers.

    Raises HipError where the file is damaged or protected; `where` names it.
    """
    package = OfficePackage(data, where, options)
    try:
        return _read(package, options)
    except RecursionError as error:
        raise package.damaged("it is nested too deep") from error


def _read(package: OfficePackage, options: ReadOptions) -> Content:
    part = package.main_part("word/document.xml")
    root = package.xml(part)
    styles, lists = styles_and_lists(package, part)
    shared = Shared(package, styles, lists, options.hidden, _notes(package, part))
    headers, footers = (_running(shared, root, part, kind) for kind in ("header", "footer"))
    body = Story(shared, part)
    pages = to_pages(by_heading(body.blocks(root), shared.note_texts, headers, footers))
    members, warnings = package.embedded(package.related(part, "aFChunk"))
    return Content(
        kind="docx",
        reader="hip",
        unit="section" if len(pages) > 1 or pages[0].label else None,
        pages=pages,
        warnings=(*warnings, *_warnings(shared)),
        dropped=(*_dropped(shared), *package.macros()),
        members=members,
    )


def _running(shared: Shared, root: Element, part: str, kind: str) -> list[str]:
    """The different headers or footers that are in use and have text other than the number of the page."""
    relationships = shared.package.relationships(part)
    used = dict.fromkeys(reference.get("r:id", "") for reference in root.iter(f"w:{kind}Reference"))
    lines: dict[str, None] = {}
    for relationship in map(relationships.get, used):
        if relationship is not None and relationship.target in shared.package:
            story = Story(shared, relationship.target, running=True)
            text = story.text(shared.package.xml(relationship.target))
            if text.strip("#-–—|/ "):
                lines[f"[{kind}: {text}]"] = None
    return list(lines)


def _notes(package: OfficePackage, part: str) -> dict[str, tuple[str, dict[str, Element]]]:
    found = {}
    for reference, (kind, tag) in _NOTES.items():
        for target in package.related(part, kind):
            found[reference] = target, {note.get("w:id", ""): note for note in package.xml(target).iter(tag)}
    return found


def _warnings(shared: Shared) -> Iterator[str]:
    if shared.pictures:
        yield f"{count(shared.pictures, 'picture was', 'pictures were')} not read."
    if shared.symbols:
        yield f"{count(shared.symbols, 'symbol of a symbol font was', 'symbols of symbol fonts were')} not read."
    if shared.hidden_characters and shared.hidden:
        yield f"{count(shared.hidden_characters, 'character', 'characters')} of hidden text were read."
    if shared.faint_characters:
        characters = count(shared.faint_characters, "character", "characters")
        yield f"{characters} of white or tiny text were read, which a viewer does not show."


def _dropped(shared: Shared) -> Iterator[str]:
    if shared.deletions:
        deletions = count(shared.deletions, "deletion was", "deletions were")
        yield f"its text is read with the tracked changes made: {deletions} left out."
    if shared.hidden_characters and not shared.hidden:
        yield f"{count(shared.hidden_characters, 'character', 'characters')} of hidden text were left out."
