import io
import zipfile

import pytest

from hipcli.documents.document import Content
from hipcli.documents.formats import reader_name
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.web import epub
from hipcli.errors import HipError

CONTAINER = '<?xml version="1.0"?><container><rootfiles><rootfile full-path="OPS/p.opf"/></rootfiles></container>'
XHTML = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{}</body></html>'
NAV = (
    '<?xml version="1.0"?><html xmlns:epub="x"><nav epub:type="landmarks"><a href="b.xhtml">no</a></nav>'
    '<nav epub:type="toc"><ol>{}</ol></nav></html>'
)
NCX = (
    '<?xml version="1.0"?><ncx><docTitle><text>no</text></docTitle><navMap>{}</navMap>'
    '<pageList><pageTarget><navLabel><text>9</text></navLabel><content src="a.xhtml"/></pageTarget></pageList></ncx>'
)


def book(files: dict[str, str], spine: list[str], toc: str = "", toc_type: str = "nav", **extra: str) -> bytes:
    """A book with these files in OPS/; `spine` are their names, `extra` more files by their path."""
    items = "".join(
        f'<item id="{name}" href="{name.replace(" ", "%20")}" media-type="{media(name)}"/>' for name in files
    )
    if toc:
        properties = 'properties="nav"' if toc_type == "nav" else ""
        kind = "application/xhtml+xml" if toc_type == "nav" else "application/x-dtbncx+xml"
        items += f'<item id="toc" href="toc.xml" media-type="{kind}" {properties}/>'
    refs = "".join(f'<itemref idref="{name}"/>' for name in spine)
    package = f'<?xml version="1.0"?><package><manifest>{items}</manifest><spine toc="toc">{refs}</spine></package>'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        writer.writestr("mimetype", "application/epub+zip")
        writer.writestr("META-INF/container.xml", CONTAINER)
        writer.writestr("OPS/p.opf", package)
        if toc:
            writer.writestr("OPS/toc.xml", (NAV if toc_type == "nav" else NCX).format(toc))
        for name, body in files.items():
            writer.writestr(f"OPS/{name}", XHTML.format(body) if name.endswith("xhtml") else body)
        for path, text in extra.items():
            writer.writestr(path, text)
    return buffer.getvalue()


def media(name: str) -> str:
    return {"xhtml": "application/xhtml+xml", "png": "image/png", "svg": "image/svg+xml"}[name.rpartition(".")[2]]


def read(data: bytes, **options: object) -> Content:
    return epub.read(data, "b.epub", ReadOptions(**options))  # type: ignore[arg-type]


def chapters(content: Content) -> list[tuple[str | None, str]]:
    return [(page.label, page.text) for page in content.pages]


def point(title: str, target: str) -> str:
    return f'<navPoint><navLabel><text>{title}</text></navLabel><content src="{target}"/></navPoint>'


FILES = {"a.xhtml": "<p>front</p>", "b.xhtml": "<h1>One</h1><p>x</p>", "c d.xhtml": "<p>y</p>", "e.xhtml": "<p>z</p>"}


class TestChapters:
    @pytest.mark.parametrize("toc_type", ["nav", "ncx"])
    def test_order_of_the_spine_and_titles_of_the_contents(self, toc_type: str) -> None:
        entries = (("One", "b.xhtml"), ("Two & last", "c%20d.xhtml"))
        if toc_type == "nav":
            toc = "".join(f'<li><a href="{target}">{title.replace("&", "&amp;")}</a></li>' for title, target in entries)
        else:
            toc = "".join(point(title.replace("&", "&amp;"), target) for title, target in entries)
        content = read(book(FILES, ["a.xhtml", "b.xhtml", "c d.xhtml", "e.xhtml"], toc, toc_type))
        assert content.unit == "chapter"
        assert chapters(content) == [(None, "front"), ("One", "x"), ("Two & last", "y\n\nz")]
        assert content.warnings == content.dropped == ()

    def test_several_chapters_in_one_file(self) -> None:
        files = {"a.xhtml": '<p>top</p><h2 id="p1">I.</h2><p>x</p><div><a id="p2"/><h2>II.</h2><p>y</p></div>'}
        toc = point("Book", "a.xhtml") + point("I.", "a.xhtml#p1") + point("The second", "a.xhtml#p2")
        assert chapters(read(book(files, ["a.xhtml"], toc, "ncx"))) == [
            ("Book", "top"),
            ("I.", "x"),
            ("The second", "II.\n\ny"),
        ]

    def test_contents_that_lead_nowhere(self) -> None:
        toc = point("One", "a.xhtml#none") + point("Gone", "gone.xhtml")
        assert chapters(read(book({"a.xhtml": "<p>x</p>"}, ["a.xhtml"], toc, "ncx"))) == [("One", "x")]

    def test_without_contents(self) -> None:
        assert chapters(read(book(FILES, ["b.xhtml", "e.xhtml"]))) == [(None, "One\n\nx"), (None, "z")]

    def test_drawing_with_text(self) -> None:
        files = {"a.svg": "<svg xmlns='http://www.w3.org/2000/svg'><text>Page one</text></svg>"}
        assert chapters(read(book(files, ["a.svg"]))) == [(None, "Page one")]


class TestWhatIsNotRead:
    def test_text_outside_the_order_of_reading(self) -> None:
        data = book(FILES, ["a.xhtml"], **{"OPS/stray.html": "<p>stray</p>", "OPS/empty.html": "<p></p>"})
        names = "OPS/b.xhtml, OPS/c d.xhtml, OPS/e.xhtml, OPS/stray.html"
        assert read(data).warnings == (f"{names} are not in the order of reading, and not read.",)

    def test_missing_files(self) -> None:
        content = read(book({"a.xhtml": "x"}, ["a.xhtml", "gone"]))
        assert chapters(content) == [(None, "x")]
        assert content.warnings == ("gone is in the order of reading, but missing.",)

    def test_pictures(self) -> None:
        assert read(book({"a.xhtml": "x", "p.png": "PNG"}, ["a.xhtml"])).warnings == ("1 picture is not read.",)


class TestProtection:
    ENCRYPTION = (
        '<encryption><EncryptedData><EncryptionMethod Algorithm="{}"/><CipherData><CipherReference URI="{}"/>'
        "</CipherData></EncryptedData></encryption>"
    )

    def test_encrypted_text_is_refused(self) -> None:
        encryption = self.ENCRYPTION.format("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "OPS/a.xhtml")
        data = book({"a.xhtml": "x"}, ["a.xhtml"], **{"META-INF/encryption.xml": encryption})
        with pytest.raises(HipError, match=r"^b\.epub: is protected against copying \(DRM\)$"):
            read(data)

    def test_garbled_fonts_do_not_matter(self) -> None:
        encryption = self.ENCRYPTION.format("http://www.idpf.org/2008/embedding", "OPS/font.otf")
        data = book({"a.xhtml": "x"}, ["a.xhtml"], **{"META-INF/encryption.xml": encryption})
        assert chapters(read(data)) == [(None, "x")]


def test_no_book() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        writer.writestr("a.txt", "x")
    with pytest.raises(HipError, match=r"^b\.epub: is no EPUB book"):
        read(buffer.getvalue())


def test_recognised_by_its_bytes() -> None:
    assert reader_name("book", book({"a.xhtml": "x"}, ["a.xhtml"])) == "epub"


def test_unpacks_to_too_much() -> None:
    data = book({f"{number}.xhtml": "x" * 2**20 for number in range(3)}, [f"{number}.xhtml" for number in range(3)])
    with pytest.raises(HipError, match=r"^b\.epub: unpacks to too much$"):
        read(data, memory=8)
