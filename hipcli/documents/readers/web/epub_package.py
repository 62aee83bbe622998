"""What an EPUB book says about itself: its files, the order to read them in, and its table of contents.

Its XML is read by the HTML parser, which forgives what books get wrong and resolves no entities.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from selectolax.lexbor import LexborHTMLParser, LexborNode

from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.archives.zip_files import files_in, open_zip, read_entry
from hipcli.documents.readers.text.declared import decode_declared
from hipcli.documents.readers.web.html import declared_charset
from hipcli.documents.readers.web.html_repair import repaired
from hipcli.errors import HipError

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_FONT_ALGORITHMS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_TEXT_SUFFIXES = (".xhtml", ".html", ".htm", ".xml")
_TEXT_TYPES = ("application/xhtml+xml", "text/html", "text/x-oeb1-document", "image/svg+xml")


@dataclass(frozen=True)
class Item:
    """A file of the book. `path` is inside the zip file, `fallback` the id of the item to show in its place."""

    path: str
    media_type: str
    properties: tuple[str, ...] = ()
    fallback: str | None = None

    @property
    def is_text(self) -> bool:
        return self.media_type in _TEXT_TYPES


class Package:
    """The book in `data`. Raises HipError, which calls it `where`, if it is damaged, protected or no book at all."""

    def __init__(self, data: bytes, where: str, options: ReadOptions) -> None:
        self._where = where
        self._options = options
        self._archive = open_zip(data, where)
        self._entries = {entry.filename: entry for entry in files_in(self._archive)}
        self._by_lower = {name.lower(): name for name in self._entries}
        self._unpacked = 0
        self.encrypted = self._encrypted()
        self.items: dict[str, Item] = {}
        self.spine: list[str] = []
        self._ncx: str | None = None
        self._read_package()

    def __contains__(self, path: str) -> bool:
        return path.lower() in self._by_lower

    def text(self, path: str) -> str:
        """The text file at `path`. Raises HipError if it is missing or cannot be read."""
        name = path if path in self._entries else self._by_lower.get(path.lower())
        if name is None:
            raise HipError(f"{self._where}: {path} is missing", "download or copy it again")
        entry = self._entries[name]
        self._unpacked += entry.file_size
        if self._unpacked > self._options.most_bytes:
            raise HipError(f"{self._where}: unpacks to too much", "allow more with --read-memory")
        data = read_entry(self._archive, entry, f"{self._where}/{name}", self._options)
        return decode_declared(data, self._where, declared_charset(data), self._options.encoding).text

    def contents(self) -> list[tuple[str, str, str]]:
        """The table of contents: path, fragment ("" for the file itself) and title of each entry, in order."""
        nav = next((item.path for item in self.items.values() if "nav" in item.properties), None)
        for path, read in ((nav, _nav_entries), (self._ncx, _ncx_entries)):
            if path is not None and path in self and (entries := list(read(self._parse(path)))):
                return [(*self._target(path, href), title) for href, title in entries if title]
        return []

    def unlisted(self) -> list[str]:
        """The text files that the book does not name."""
        named = {item.path.lower() for item in self.items.values()}
        return [
            name
            for name in self._entries
            if name.lower().endswith(_TEXT_SUFFIXES[:3]) and name.lower() not in named and "META-INF" not in name
        ]

    def _parse(self, path: str) -> list[LexborNode]:
        html = repaired(self.text(path))
        root = LexborHTMLParser(html.encode("utf-8", "replace")).root
        return [] if root is None else [node for node in root.traverse() if node.is_element_node]

    def _encrypted(self) -> set[str]:
        """The files that only the shop's own program can open. Garbled fonts do not count."""
        if _ENCRYPTION not in self._entries:
            return set()
        encrypted, algorithm = set(), ""
        for node in self._parse(_ENCRYPTION):
            tag = _tag(node)
            if tag == "encryptionmethod" and not algorithm:
                algorithm = node.attributes.get("algorithm") or ""
            elif tag == "encrypteddata":
                algorithm = ""
            elif tag == "cipherreference" and algorithm not in _FONT_ALGORITHMS:
                encrypted.add(unquote(node.attributes.get("uri") or "").lower())
        return encrypted

    def _read_package(self) -> None:
        path = self._package_path()
        ncx_id = None
        for node in self._parse(path):
            tag, attributes = _tag(node), node.attributes
            if tag == "item" and attributes.get("href"):
                item = Item(
                    self._target(path, attributes["href"] or "")[0],
                    (attributes.get("media-type") or "").strip().lower(),
                    tuple((attributes.get("properties") or "").split()),
                    attributes.get("fallback"),
                )
                self.items[attributes.get("id") or item.path] = item
            elif tag == "spine":
                ncx_id = attributes.get("toc")
            elif tag == "itemref":
                self.spine.append(attributes.get("idref") or "")
        ncx = self.items.get(ncx_id or "") or next(
            (item for item in self.items.values() if item.media_type == "application/x-dtbncx+xml"), None
        )
        self._ncx = None if ncx is None else ncx.path

    def _package_path(self) -> str:
        if _CONTAINER in self:
            for node in self._parse(_CONTAINER):
                path = unquote(node.attributes.get("full-path") or "") if _tag(node) == "rootfile" else ""
                if path in self:
                    return path
        path = next((name for name in self._entries if name.lower().endswith(".opf")), "")
        if not path:
            raise HipError(f"{self._where}: is no EPUB book: it has no package file", "unpack it as a zip file")
        return path

    @staticmethod
    def _target(base: str, href: str) -> tuple[str, str]:
        path, _, fragment = href.strip().partition("#")
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(path))) if path else base
        return joined.lstrip("/"), unquote(fragment)


def _tag(node: LexborNode) -> str:
    return (node.tag or "").rpartition(":")[2].lower()


def _nav_entries(nodes: list[LexborNode]) -> Iterator[tuple[str, str]]:
    navs = [node for node in nodes if _tag(node) == "nav"]
    toc = next((nav for nav in navs if "toc" in (nav.attributes.get("epub:type") or "").split()), None)
    for link in (toc or navs[0]).css("a") if navs else []:
        yield link.attributes.get("href") or "", " ".join(link.text().split())


def _ncx_entries(nodes: list[LexborNode]) -> Iterator[tuple[str, str]]:
    title, inside = "", False
    for node in nodes:
        tag = _tag(node)
        if tag == "navmap":
            inside = True
        elif tag in ("pagelist", "navlist"):
            return
        elif inside and tag == "text":
            title = " ".join(node.text().split())
        elif inside and tag == "content" and title:
            yield node.attributes.get("src") or "", title
            title = ""
