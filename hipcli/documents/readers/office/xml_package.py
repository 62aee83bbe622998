"""Zip files of XML parts, which the office formats are: opening them, and XML that does no harm.

Elements and attributes are named "prefix:name", with the prefixes below, however a file writes them.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from xml.etree.ElementTree import Element, ParseError, fromstring, iterparse

from hipcli.documents.options import ReadOptions
from hipcli.errors import HipError

_OFFICE = "http://schemas.openxmlformats.org/"
_STRICT = "http://purl.oclc.org/ooxml/"  # the same vocabulary in "strict" files
_OOXML = {
    "wordprocessingml/main": "w",
    "presentationml/main": "p",
    "spreadsheetml/main": "x",
    "drawingml/main": "a",
    "drawingml/chart": "c",
    "drawingml/diagram": "dgm",
    "drawingml/picture": "pic",
    "drawingml/spreadsheetDrawing": "xdr",
    "drawingml/wordprocessingDrawing": "wp",
    "officeDocument/relationships": "r",
    "officeDocument/math": "m",
}
_PREFIXES = {
    **{_STRICT + name: prefix for name, prefix in _OOXML.items()},
    **{
        _OFFICE + name.replace("/main", "") + "/2006/main": prefix for name, prefix in _OOXML.items() if "/main" in name
    },
    **{_OFFICE + name.replace("/", "/2006/"): prefix for name, prefix in _OOXML.items() if "/main" not in name},
    _OFFICE + "package/2006/relationships": "rel",
    _OFFICE + "markup-compatibility/2006": "mc",
    "http://schemas.microsoft.com/office/word/2010/wordml": "w14",
    "http://schemas.microsoft.com/office/word/2010/wordprocessingShape": "wps",
    "http://schemas.microsoft.com/office/spreadsheetml/2018/threadedcomments": "threaded",
    "http://schemas.microsoft.com/office/powerpoint/2018/8/main": "p188",
    "urn:schemas-microsoft-com:vml": "v",
    "urn:schemas-microsoft-com:office:office": "o",
    "http://www.w3.org/1999/xlink": "xlink",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://www.w3.org/1998/Math/MathML": "math",
    "http://www.w3.org/XML/1998/namespace": "xml",
}
_OPEN_DOCUMENT = "urn:oasis:names:tc:opendocument:xmlns:"
_OPEN_DOCUMENT_PREFIXES = {"drawing": "draw", "svg-compatible": "svg"}  # others are the end of the namespace
# A tree of elements takes some ten times the memory of the XML that it is made of.
_TREE_SHARE = 16
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, KeyError)


class Package:
    """The parts of the zip file in `data`; `where` names it in errors. Raises HipError where it is no zip file."""

    def __init__(self, data: bytes, where: str, options: ReadOptions) -> None:
        self.where = where
        self.options = options
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            infos = [info for info in self._archive.infolist() if not info.filename.endswith("/")]
        except _BAD_ZIP as error:
            raise self.damaged(str(error)) from error

        # Some programs write names with the separators of Windows, or in small letters.
        self._infos = {_part_name(info.filename).lower(): info for info in infos}

    @property
    def names(self) -> list[str]:
        return [_part_name(info.filename) for info in self._infos.values()]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._infos

    def read(self, name: str) -> bytes:
        """The bytes of a part. Raises HipError where it is missing, damaged, protected or too big."""
        with self._open(name, self.options.most_bytes) as stream:
            try:
                return stream.read()
            except _BAD_ZIP as error:
                raise self.damaged(f"{name}: {error}") from error

    def xml(self, name: str) -> Element:
        """The root of an XML part. Raises HipError as `read` does, and where the part is not well-formed."""
        with self._open(name, self.options.most_bytes * 4 // _TREE_SHARE) as stream:
            try:
                return rename(fromstring(self._without_entities(name, stream.read())))
            except (ParseError, LookupError, *_BAD_ZIP) as error:
                raise self.damaged(f"{name}: {error}") from error

    def stream(self, name: str, wanted: Sequence[str]) -> Iterator[Element]:
        """The elements of an XML part called `wanted` one after another; each is emptied when the next one is read.

        For parts that may be too big for a tree.
        """
        names = frozenset(wanted)
        with self._open(name, self.options.most_bytes) as stream:
            try:
                self._without_entities(name, stream.read(65536))
                stream.seek(0)
                for _, element in iterparse(stream):
                    if short_name(element.tag) in names:
                        yield rename(element)
                        element.clear()
            except (ParseError, LookupError, *_BAD_ZIP) as error:
                raise self.damaged(f"{name}: {error}") from error

    def damaged(self, what: str) -> HipError:
        return HipError(
            f"{self.where}: is damaged ({' '.join(what.split())[:200]})",
            "open it in an office program, which may repair it, and save it again",
        )

    def _open(self, name: str, most_bytes: int) -> zipfile.ZipExtFile:
        info = self._infos.get(name.lower())
        if info is None:
            raise self.damaged(f"{name} is missing")
        if info.flag_bits & 1:
            raise HipError(f"{self.where}: is protected by a password", "save it without a password first")
        if info.file_size > most_bytes:
            raise HipError(
                f"{self.where}: {name} is {info.file_size >> 20} MiB unpacked, more than memory allows",
                "allow more memory for a document, or divide it",
            )
        try:
            stream = self._archive.open(info)
        except (*_BAD_ZIP, RuntimeError) as error:
            raise self.damaged(f"{name}: {error}") from error
        assert isinstance(stream, zipfile.ZipExtFile)
        return stream

    def _without_entities(self, name: str, xml: bytes) -> bytes:
        """`xml`, which may not define entities: they can blow up to any size, and office programs write none."""
        if b"<!ENTITY" in (xml.replace(b"\0", b"") if b"\0" in xml[:4] else xml):
            raise self.damaged(f"{name} defines XML entities, which no office program does")
        return xml


def _part_name(name: str) -> str:
    return name.replace("\\", "/").lstrip("/")


def rename(root: Element) -> Element:
    """`root` with its elements and attributes named "prefix:name"."""
    for element in root.iter():
        element.tag = short_name(element.tag)
        if element.attrib:
            element.attrib = {short_name(key): value for key, value in element.attrib.items()}
    return root


def find(element: Element | None, path: str) -> Element | None:
    """The first element at `path` below, such as "w:pPr/w:pStyle". (ElementTree's own paths want namespaces.)"""
    for tag in path.split("/"):
        if element is None:
            return None
        element = next((child for child in element if child.tag == tag), None)
    return element


def find_all(element: Element | None, tag: str) -> list[Element]:
    """The children with this tag."""
    return [] if element is None else [child for child in element if child.tag == tag]


def text_of(element: Element | None, tag: str) -> str:
    """The text of all elements with this tag at any depth, one after the other."""
    return "" if element is None else "".join(found.text or "" for found in element.iter(tag))


def value(element: Element | None, path: str, attribute: str) -> str | None:
    """An attribute of the first element at `path`; None where either is missing."""
    found = find(element, path)
    return None if found is None else found.get(attribute)


@lru_cache(4096)
def short_name(name: str) -> str:
    """A name like "{namespace}local" as "prefix:local"; as it is where the namespace is none of those known."""
    namespace, closed, local = name.removeprefix("{").rpartition("}")
    if not closed:
        return name
    if namespace.startswith(_OPEN_DOCUMENT):
        prefix = namespace.removeprefix(_OPEN_DOCUMENT).partition(":")[0]
        return f"{_OPEN_DOCUMENT_PREFIXES.get(prefix, prefix)}:{local}"
    known = _PREFIXES.get(namespace)
    return name if known is None else f"{known}:{local}"
