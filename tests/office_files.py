"""Makes small office files for tests of reading them: zip files of XML, with the parts that a reader looks for."""

import io
import zipfile

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
NAMESPACES = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "p": "http://schemas.openxmlformats.org/presentationml/2006/main",
        "x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
        "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
        "c": "http://schemas.openxmlformats.org/drawingml/2006/chart",
        "dgm": "http://schemas.openxmlformats.org/drawingml/2006/diagram",
        "pic": "http://schemas.openxmlformats.org/drawingml/2006/picture",
        "wp": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
        "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
        "xdr": "http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing",
        "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
        "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
        "v": "urn:schemas-microsoft-com:vml",
        "r": _OFFICE,
        "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
        "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
        "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
        "draw": "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0",
        "style": "urn:oasis:names:tc:opendocument:xmlns:style:1.0",
        "presentation": "urn:oasis:names:tc:opendocument:xmlns:presentation:1.0",
        "dc": "http://purl.org/dc/elements/1.1/",
        "xlink": "http://www.w3.org/1999/xlink",
    }.items()
)


def element(tag: str, inner: str) -> str:
    """A root element with all namespaces."""
    return f"<{tag} {NAMESPACES}>{inner}</{tag}>"


def package(parts: dict[str, str | bytes]) -> bytes:
    """A zip file of these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def relationships(targets: dict[str, tuple[str, str]]) -> str:
    """The XML of relationships: by id the kind and the target, which is outside where it has "://"."""
    outside = 'TargetMode="External"'
    links = "".join(
        f'<Relationship Id="{identifier}" Type="{_OFFICE}/{kind}" Target="{target}" {outside * ("://" in target)}/>'
        for identifier, (kind, target) in targets.items()
    )
    namespace = "http://schemas.openxmlformats.org/package/2006/relationships"
    return f'<Relationships xmlns="{namespace}">{links}</Relationships>'


def _office(main: str, parts: dict[str, str | bytes]) -> bytes:
    return package(
        {"[Content_Types].xml": "<Types/>", "_rels/.rels": relationships({"r1": ("officeDocument", main)}), **parts}
    )


def docx(
    body: str, related: dict[str, tuple[str, str]] | None = None, parts: dict[str, str | bytes] | None = None
) -> bytes:
    """A Word document with this XML in its body. `related` are relationships of its main part."""
    return _office(
        "word/document.xml",
        {
            "word/document.xml": element("w:document", f"<w:body>{body}</w:body>"),
            "word/_rels/document.xml.rels": relationships(related or {}),
            **(parts or {}),
        },
    )


def paragraph(text: str, properties: str = "") -> str:
    """A paragraph of Word."""
    return f'<w:p><w:pPr>{properties}</w:pPr><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def pptx(
    slides: list[str], parts: dict[str, str | bytes] | None = None, attributes: dict[int, str] | None = None
) -> bytes:
    """A presentation with the XML of these shapes on its slides, and `attributes` for some slides."""
    numbers = range(1, len(slides) + 1)
    entries = "".join(f'<p:sldId id="{255 + number}" r:id="s{number}"/>' for number in numbers)
    made: dict[str, str | bytes] = {
        "ppt/presentation.xml": element("p:presentation", f"<p:sldIdLst>{entries}</p:sldIdLst>"),
        "ppt/_rels/presentation.xml.rels": relationships(
            {f"s{number}": ("slide", f"slides/slide{number}.xml") for number in numbers}
        ),
    }
    for number, shapes in enumerate(slides, 1):
        xml = element("p:sld", f"<p:cSld><p:spTree>{shapes}</p:spTree></p:cSld>")
        made[f"ppt/slides/slide{number}.xml"] = xml.replace(
            "<p:sld ", f"<p:sld {(attributes or {}).get(number, '')} ", 1
        )
    return _office("ppt/presentation.xml", {**made, **(parts or {})})


def shape(text: str, placeholder: str | None = None, properties: str = "") -> str:
    """A shape of a slide with a paragraph for each line."""
    kind = "" if placeholder is None else f'<p:ph type="{placeholder}"/>'
    lines = "".join(f"<a:p>{properties}<a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="1" name=""/><p:nvPr>{kind}</p:nvPr></p:nvSpPr>'
        f"<p:txBody>{lines}</p:txBody></p:sp>"
    )


def xlsx(
    sheets: dict[str, str],
    parts: dict[str, str | bytes] | None = None,
    formats: tuple[str, ...] = (),
    strings: tuple[str, ...] = (),
    attributes: dict[str, str] | None = None,
) -> bytes:
    """A workbook: by name the XML of its sheets. Cell style 1 has the first of `formats`, and so on."""
    numbers = dict(enumerate(sheets, 1))
    entries = "".join(
        f'<x:sheet name="{name}" sheetId="{number}" r:id="s{number}" {(attributes or {}).get(name, "")}/>'
        for number, name in numbers.items()
    )
    codes = "".join(f'<x:numFmt numFmtId="{200 + index}" formatCode="{code}"/>' for index, code in enumerate(formats))
    styles = "".join(f'<x:xf numFmtId="{200 + index}"/>' for index in range(len(formats)))
    made: dict[str, str | bytes] = {
        "xl/workbook.xml": element("x:workbook", f"<x:sheets>{entries}</x:sheets>"),
        "xl/_rels/workbook.xml.rels": relationships(
            {
                **{f"s{number}": ("worksheet", f"worksheets/sheet{number}.xml") for number in numbers},
                "styles": ("styles", "styles.xml"),
                "strings": ("sharedStrings", "sharedStrings.xml"),
            }
        ),
        "xl/styles.xml": element(
            "x:styleSheet", f'<x:numFmts>{codes}</x:numFmts><x:cellXfs><x:xf numFmtId="0"/>{styles}</x:cellXfs>'
        ),
        "xl/sharedStrings.xml": element("x:sst", "".join(f"<x:si>{string}</x:si>" for string in strings)),
        **{
            f"xl/worksheets/sheet{number}.xml": element("x:worksheet", sheets[name]) for number, name in numbers.items()
        },
    }
    return _office("xl/workbook.xml", {**made, **(parts or {})})


def open_document(kind: str, body: str, styles: str = "", parts: dict[str, str | bytes] | None = None) -> bytes:
    """An OpenDocument file: `kind` is "text", "presentation" or "spreadsheet", `styles` its automatic styles."""
    content = f"<office:automatic-styles>{styles}</office:automatic-styles>"
    content += f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
    return package(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": element("office:document-content", content),
            **(parts or {}),
        }
    )


def compound_file(*names: str) -> bytes:
    """A compound file (OLE) whose root has empty streams of these names."""
    sector, free, end = 512, 0xFFFFFFFF, 0xFFFFFFFE
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + bytes.fromhex("3e000300feff09000600") + bytes(6)
    # No directory sectors are counted in this version; one allocation table in sector 0, the directory in sector 1.
    for number in (0, 1, 1, 0, 4096, end, 0, end, 0, 0):
        header += number.to_bytes(4, "little")
    header += b"\xff" * (sector - len(header))

    table = [0xFFFFFFFD, end] + [free] * (sector // 4 - 2)
    entries = [("Root Entry", 5), *((name, 2) for name in names)]
    directory = b""
    for index, (name, kind) in enumerate(entries):
        encoded = name.encode("utf-16-le") + b"\0\0"
        entry = encoded.ljust(64, b"\0") + len(encoded).to_bytes(2, "little") + bytes([kind, 1])
        following = index + 1 if 0 < index < len(entries) - 1 else free
        child = 1 if index == 0 and names else free
        entry += free.to_bytes(4, "little") + following.to_bytes(4, "little") + child.to_bytes(4, "little")
        entry += bytes(36) + end.to_bytes(4, "little") + bytes(8)
        directory += entry
    directory = directory.ljust(sector, b"\0")
    return header + b"".join(number.to_bytes(4, "little") for number in table) + directory
