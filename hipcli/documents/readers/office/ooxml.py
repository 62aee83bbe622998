"""What all formats of Office Open XML share: relationships between parts, alternatives, files inside."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from hipcli.documents.document import Member
from hipcli.documents.readers.office.ole import embedded_file
from hipcli.documents.readers.office.xml_package import Package, find
from hipcli.errors import HipError

_MACROS = "vbaproject.bin"


@dataclass(frozen=True)
class Relationship:
    """`kind` is the last part of its type, such as "image"; `target` the name of a part, or an address outside."""

    kind: str
    target: str
    external: bool


class OfficePackage(Package):
    """A package whose parts refer to each other by relationships."""

    def relationships(self, part: str) -> dict[str, Relationship]:
        """Those of a part ("" is the package) by id; none where it has none."""
        folder, name = posixpath.split(part)
        path = posixpath.join(folder, "_rels", f"{name}.rels")
        found = {}
        if path in self:
            for element in self.xml(path).iter("rel:Relationship"):
                external = element.get("TargetMode") == "External"
                target = element.get("Target", "")
                if not external:
                    target = posixpath.normpath(posixpath.join("/", folder, unquote(target))).lstrip("/")
                kind = element.get("Type", "").rpartition("/")[2]
                found[element.get("Id", "")] = Relationship(kind, target, external)
        return found

    def related(self, part: str, *kinds: str) -> list[str]:
        """The parts inside that a part refers to by relationships of these kinds."""
        return [
            relationship.target
            for relationship in self.relationships(part).values()
            if relationship.kind in kinds and not relationship.external and relationship.target in self
        ]

    def main_part(self, usual: str) -> str:
        """The part a reader begins with: what the package says, else the `usual` one."""
        return next(iter(self.related("", "officeDocument")), usual)

    def embedded(self, others: Sequence[str] = ()) -> tuple[tuple[Member, ...], tuple[str, ...]]:
        """The files embedded in the document and the parts `others`, and warnings about what cannot be taken out.

        Not the tables behind charts, whose figures are read with the chart.
        """
        behind_charts = {
            target.lower()
            for name in self.names
            if "/charts/" in name and name.endswith(".xml")
            for target in self.related(name, "package")
        }
        members = [Member(posixpath.basename(name), partial(self.read, name)) for name in others]
        lost = 0
        for name in self.names:
            folder, file_name = posixpath.split(name)
            if posixpath.basename(folder).lower() != "embeddings" or name.lower() in behind_charts:
                continue
            if not file_name.lower().endswith(".bin"):
                members.append(Member(file_name, partial(self.read, name)))
                continue
            try:
                member = embedded_file(self.read(name), file_name)
            except HipError:
                member = None
            if member is None:
                lost += 1
            else:
                members.append(member)
        warning = count(lost, "embedded object was", "embedded objects were") + " not read."
        return tuple(members), (warning,) if lost else ()

    def macros(self) -> tuple[str, ...]:
        """What to say of macros, which are not read."""
        return ("its macros were left out.",) if any(name.lower().endswith(_MACROS) for name in self.names) else ()


def children(element: Element) -> Iterator[Element]:
    """The children of an element, with the first of alternatives in place of them all."""
    for child in element:
        if child.tag == "mc:AlternateContent":
            alternative = find(child, "mc:Choice")
            if alternative is None:
                alternative = find(child, "mc:Fallback")
            if alternative is not None:
                yield from children(alternative)
        else:
            yield child


def descendants(element: Element, *tags: str) -> Iterator[Element]:
    """The elements below `element` with these tags in order of the document, of alternatives the first one."""
    pending = [children(element)]
    while pending:
        child = next(pending[-1], None)
        if child is None:
            pending.pop()
            continue
        if child.tag in tags:
            yield child
        pending.append(children(child))


def is_on(element: Element | None, attribute: str = "w:val") -> bool:
    """Whether a switch is on: there, and not turned off by its value."""
    return element is not None and element.get(attribute, "true").lower() not in ("0", "false", "off", "none")


def count(number: int, one: str, many: str) -> str:
    """ "1 picture was" or "3 pictures were"."""
    return f"{number} {one if number == 1 else many}"


def with_address(text: str, address: str) -> str:
    """The text of a link with its address after it, unless it shows it already."""
    address = address.strip()
    shown = re.sub(r"\s", "", text).rstrip("/")
    bare = address.removeprefix("mailto:").removeprefix("https://").removeprefix("http://").rstrip("/")
    if not address or not text.strip() or bare in shown:
        return text
    return f"{text.rstrip()} ({address}){text[len(text.rstrip()) :]}"
