"""How much of the text of office files a reader keeps, and how long it takes.

    python bench/office_text.py --reader hip FOLDER
    python bench/office_text.py --reader markitdown FOLDER   # with the Python that has it installed

The text to keep is every word that the XML of a file shows: body, notes, comments, headers, slides, charts, cells with
text. Deleted text of tracked changes and numbers of slides are no part of it. A word counts as kept where it stands
anywhere in the output, so that hidden text, numbers of pages and marks of notes written another way count as lost.
"""

import argparse
import re
import signal
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

_WORD = re.compile(r"\w+")
_PARTS = {
    "docx": r"word/(document|footnotes|endnotes|comments|header\d*|footer\d*|diagrams/data\d*|charts/chart\d*)\.xml",
    "pptx": r"ppt/(slides/slide\d+|notesSlides/notesSlide\d+|comments/\w+|(diagrams/data|charts/chart)\d*)\.xml",
    "xlsx": r"xl/(sharedStrings|comments\d*|drawings/drawing\d+|worksheets/\w+)\.xml",
    "odt": r"content\.xml", "odp": r"content\.xml", "ods": r"content\.xml",
}  # fmt: skip
_NOT_SHOWN = {
    "Fallback", "delText", "del", "moveFrom", "tracked-changes", "forms", "date", "creator", "desc", "title", "rPh",
    "automatic-styles", "font-face-decls", "scripts",
}  # fmt: skip
_SECONDS = 20
Read = Callable[[Path], str]


def _hip() -> Read:
    from hipcli.documents.formats import reader, reader_name
    from hipcli.documents.options import ReadOptions

    def read(path: Path) -> str:
        data = path.read_bytes()
        content = reader(reader_name(path.name, data))(data, path.name, ReadOptions())
        return "\n".join(f"{page.label or ''}\n{page.text}" for page in content.pages)

    return read


def _markitdown() -> Read:
    from markitdown import MarkItDown

    converter = MarkItDown()
    return lambda path: str(converter.convert(str(path)).text_content)


def _pandoc() -> Read:
    import pypandoc

    return lambda path: str(pypandoc.convert_file(str(path), "markdown", extra_args=["--wrap=none"]))


def _xberg() -> Read:
    import asyncio

    import xberg

    loop = asyncio.new_event_loop()

    async def read(path: Path) -> str:
        return str((await xberg.extract(xberg.ExtractInput(kind="uri", uri=str(path)))).results[0].content)

    return lambda path: loop.run_until_complete(read(path))


def _undoc() -> Read:
    import undoc

    def read(path: Path) -> str:
        with undoc.parse_file(str(path)) as document:
            return str(document.to_markdown())

    return read


def _docx2python() -> Read:
    from docx2python import docx2python

    def read(path: Path) -> str:
        with docx2python(str(path)) as document:
            return str(document.text)

    return read


_READERS = {
    "hip": _hip, "markitdown": _markitdown, "pandoc": _pandoc, "xberg": _xberg, "undoc": _undoc,
    "docx2python": _docx2python,
}  # fmt: skip


def shown_words(path: Path) -> set[str]:
    """The words that the XML of a file shows. Raises what zipfile and ElementTree do where it is damaged."""
    kind = path.suffix[1:].lower()
    texts: list[str] = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if re.match(_PARTS[kind], name):
                _collect(ElementTree.fromstring(archive.read(name)), kind.startswith("od"), texts)
    return set(_WORD.findall("".join(texts).lower()))


def _collect(element: ElementTree.Element, every_text: bool, texts: list[str]) -> None:
    name = element.tag.rpartition("}")[2]
    if name in _NOT_SHOWN or (name == "fld" and element.get("type") == "slidenum"):
        return
    if name == "t" or every_text:
        texts.append(element.text or "")
    texts.append("\n" if name in ("p", "h", "si", "is", "text") else " " if name in ("tab", "br", "cr", "s") else "")
    for child in element:
        _collect(child, every_text, texts)
        texts.append((child.tail or "") if every_text else "")
    texts.append("\n" if name in ("p", "h", "si", "is", "text") else "")


def _stop(*_: object) -> None:
    raise TimeoutError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reader", choices=sorted(_READERS), default="hip")
    arguments = parser.parse_args()
    read = _READERS[arguments.reader]()
    shares: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    signal.signal(signal.SIGALRM, _stop)
    for path in sorted(arguments.folder.rglob("*")):
        kind = path.suffix[1:].lower()
        if kind not in _PARTS:
            continue
        try:
            words = shown_words(path)
        except Exception as error:  # hostile and damaged files are part of such folders
            print(f"{path}: not measured: {error!r}", file=sys.stderr)
            continue
        start = time.perf_counter()
        signal.alarm(_SECONDS)
        try:
            text = read(path).lower().replace("\\", "")
        except Exception as error:  # whatever the library raises, its text is lost
            print(f"{path}: {error!r}"[:200], file=sys.stderr)
            text = ""
        signal.alarm(0)
        seconds[kind] += time.perf_counter() - start
        if words:
            shares[kind].append(sum(word in text for word in words) / len(words))
    for kind, values in shares.items():
        whole = sum(value == 1 for value in values)
        mean = 100 * sum(values) / len(values)
        print(f"{kind}: {len(values)} files, {mean:.1f}% of words, {whole} whole, {seconds[kind]:.1f} s")


if __name__ == "__main__":
    main()
