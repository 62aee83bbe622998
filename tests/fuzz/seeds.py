"""A few small, sound files of every format, with many of the things that its reader looks for."""

import gzip
import io
import json
import mailbox
import runpy
import tarfile
import tempfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from office_files import compound_file, docx, element, open_document, package, paragraph, pptx, shape, xlsx

_DATA = Path(__file__).parents[1] / "data"
_TEXT = "The mill burned down in March 1872.\nNaïve “quotes”, 漢字, שלום and 12,5 %.\n\n1. One\n2. Two\n"
_HTML = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>A &amp; B</title><style>p{}</style></head><body>
<nav><a href="/">Home</a></nav><main><h1>One</h1><p hidden>Not</p><p>Text <b>bold</b> <a href="http://a.b/c">link</a>
<ol start="3"><li>a<ul><li>b</li></ul></li></ol>
<table><tr><th colspan="2">H</th></tr><tr><td rowspan=2>1</td><td>2</table>
<pre>a\n  b</pre><!-- no --><script>x()</script>&#x6F22;&#233;<img alt="mill"></main></body></html>"""
_TABLE = 'name;count\n"a; ""b""";1\nc;2\n'
_SUBTITLES = "1\n00:00:01,000 --> 00:00:02,500\n<i>One</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\n"
_RTF = rb"""{\rtf1\ansi\ansicpg1252\uc1{\fonttbl{\f0\fcharset204 Arial;}}{\*\generator x;}{\info{\title T}}
\pard\f0 caf\'e9 \u233?\par{\field{\*\fldinst HYPERLINK "http://a.b"}{\fldrslt link}}{\v hidden}
\trowd\cellx99 a\cell b\cell\row{\footnote note}{\pict\pngblip 89504e47}\bin3 abc\par}"""
_PDF = [
    b"""<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[7 0 R]>>/OCProperties<</OCGs[12 0 R]/D<</OFF[12 0 R]>>>>
    /Names<</EmbeddedFiles<</Names[(a.txt) 10 0 R]>>>>/Outlines<</First 13 0 R/Last 13 0 R>>>>""",
    b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    b"""<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Annots[7 0 R 8 0 R 9 0 R]
    /Resources<</Font<</F 5 0 R>>/XObject<</X 6 0 R>>/Properties<</L 12 0 R>>>>>>""",
    b"""<</Length 89>>stream
BT /F 12 Tf 20 80 Td (Text) Tj ET /OC /L BDC BT /F 9 Tf (off) Tj ET EMC /X Do BT 3 Tr ET
endstream""",
    b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding<</Differences[65/a/b/uni6F22]>>>>",
    b"""<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<<>>/Length 29>>stream
BT /F 8 Tf (form) Tj ET /X Do
endstream""",
    b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(Anna)/Rect[1 1 90 9]/MK<</CA(x)>>>>",
    b"<</Type/Annot/Subtype/FreeText/Contents(Free)/DA(/F 9 Tf)/Rect[1 20 90 30]>>",
    b"<</Type/Annot/Subtype/Link/A<</S/URI/URI(http://a.b)>>/Rect[1 40 90 50]>>",
    b"<</Type/Filespec/F(a.txt)/EF<</F 11 0 R>>>>",
    b"<</Type/EmbeddedFile/Length 8>>stream\nattached\nendstream",
    b"<</Type/OCG/Name(Layer)>>",
    b"<</Title(One)/Dest[3 0 R/Fit]>>",
]
_WORD = f"""{paragraph("Head", '<w:pStyle w:val="Heading1"/>')}
{paragraph("item", '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>')}
<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>{paragraph("a")}</w:tc><w:tc>{paragraph("b")}</w:tc></w:tr>
</w:tbl><w:p><w:hyperlink r:id="h"><w:r><w:t>link</w:t></w:r></w:hyperlink><w:r><w:fldChar w:fldCharType="begin"/></w:r>
<w:del w:id="1"><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:sym w:char="F0FC"/><w:footnoteReference w:id="2"/>
</w:r><m:oMath><m:f><m:num><m:r><m:t>1</m:t></m:r></m:num></m:f></m:oMath></w:p>"""
_CELLS = """<x:sheetData><x:row r="1"><x:c r="A1" t="s"><x:v>0</x:v></x:c><x:c r="B1" s="1"><x:v>45000.5</x:v></x:c>
<x:c r="C1" t="b"><x:v>1</x:v></x:c><x:c r="D1" t="inlineStr"><x:is><x:t>in</x:t></x:is></x:c>
<x:c r="E1" s="2"><x:f>A1</x:f><x:v>-3E9</x:v></x:c></x:row></x:sheetData>
<x:mergeCells count="1"><x:mergeCell ref="A1:C2"/></x:mergeCells>"""
_OPEN_TEXT = """<text:h text:outline-level="1">Head</text:h><text:p>Text<text:s text:c="3"/><text:note><text:note-body>
<text:p>n</text:p></text:note-body></text:note></text:p><text:list><text:list-item><text:p>item</text:p></text:list-item>
</text:list><table:table><table:table-row table:number-rows-repeated="2"><table:table-cell
table:number-columns-repeated="2"><text:p>c</text:p></table:table-cell></table:table-row></table:table>"""
_OPEN_CELLS = """<table:table table:name="A"><table:table-row table:number-rows-repeated="4"><table:table-cell
office:value-type="float" office:value="1.5" table:number-columns-repeated="3"><text:p>1.5</text:p></table:table-cell>
</table:table-row></table:table>"""
_BOOK = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container><rootfiles><rootfile full-path="o/c.opf"/></rootfiles></container>',
    "o/c.opf": """<package xmlns="http://www.idpf.org/2007/opf"><manifest>
    <item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>
    <item id="n" href="n.xhtml" media-type="application/xhtml+xml" properties="nav"/></manifest>
    <spine><itemref idref="a"/><itemref idref="n" linear="no"/></spine></package>""",
    "o/a.xhtml": _HTML,
    "o/n.xhtml": """<html xmlns:epub="http://www.idpf.org/2007/ops"><nav epub:type="toc"><ol>
    <li><a href="a.xhtml#b">A</a></li></ol></nav></html>""",
}


def _pdf() -> list[bytes]:
    make_pdf: Callable[..., bytes] = runpy.run_path(str(_DATA / "make_pdf.py"))["make_pdf"]
    return [
        make_pdf([["Preface"], ["One posses-", "sion", "漢字"], ["Three"]], roman_pages=1),
        make_pdf([["secret"]], user_password="", owner_password="x", rotation=90),
        _rich_pdf(),
    ]


def _rich_pdf() -> bytes:
    """Fields, notes, a layer that is off, a form in itself, an attachment; without a table of objects."""
    numbered = (b"%d 0 obj\n%s\nendobj\n" % (number, body) for number, body in enumerate(_PDF, 1))
    return b"%PDF-1.7\n" + b"".join(numbered) + b"trailer<</Root 1 0 R/Size 14>>\n%%EOF"


def _text() -> list[bytes]:
    western, russian, japanese = "café über naïve\n", "Мельница сгорела в марте.\n", "水車小屋は三月に焼けた。\n"
    coded = [
        (western, "cp1252"),
        (western, "cp850"),
        (russian, "koi8-r"),
        (japanese, "iso2022_jp"),
        (japanese, "cp932"),
    ]
    unicode = [_TEXT.encode(name) for name in ("utf-8", "utf-16", "utf-16-le")]
    return unicode + [(text * 9).encode(name) for text, name in coded]


def _word() -> list[bytes]:
    links = {"h": ("hyperlink", "http://a.b"), "f": ("footnotes", "footnotes.xml"), "s": ("styles", "styles.xml")}
    notes = element("w:footnotes", f'<w:footnote w:id="2">{paragraph("note")}</w:footnote>')
    styles = element("w:styles", '<w:style w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>')
    return [docx(_WORD, links, {"word/footnotes.xml": notes, "word/styles.xml": styles})]


def _sheets() -> list[bytes]:
    formats = ("yyyy-mm-dd", "#,##0.00;[Red]-0")
    return [xlsx({"A": _CELLS, "B": _CELLS}, formats=formats, strings=("<x:t>word</x:t>",))]


def _mail() -> list[bytes]:
    message = EmailMessage()
    message["From"], message["Subject"] = "Anna <a@b.c>", "Größe of the mill"
    message["Date"] = "Tue, 5 Mar 2024 10:00:00 +0100"
    message.set_content(_TEXT)
    message.add_alternative(_HTML, subtype="html")
    outer = EmailMessage()
    outer["Subject"] = "Fwd"
    outer.set_content("See below, café.", charset="iso-8859-1")
    outer.add_attachment(_word()[0], "application", "octet-stream", filename="ä.docx")
    outer.add_attachment(message)
    return [message.as_bytes(), outer.as_bytes()]


def _mailbox() -> list[bytes]:
    with tempfile.NamedTemporaryFile() as file:
        box = mailbox.mbox(file.name)
        for message in _mail():
            box.add(message)
        box.flush()
        return [Path(file.name).read_bytes()]


def _notebook() -> list[bytes]:
    outputs: list[dict[str, Any]] = [
        {"output_type": "execute_result", "data": {"text/plain": ["1"], "text/html": _HTML}, "metadata": {}},
        {"output_type": "stream", "name": "stdout", "text": "x\n"},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "b"], "metadata": {}},
        {"cell_type": "code", "source": "1", "outputs": outputs, "metadata": {}},
    ]
    return [json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}, indent=1).encode()]


def _zip() -> list[bytes]:
    files: dict[str, str | bytes] = {"g.zip": package({"h.txt": _TEXT})}
    files |= {"a.txt": _TEXT, "b/c.html": _HTML, "d.pdf": _rich_pdf(), "../e.csv": _TABLE, "f.bin": bytes(range(256))}
    return [package(files)]


def _tar() -> list[bytes]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in {"a.txt": _TEXT.encode(), "ü" * 60 + ".html": _HTML.encode(), "b.zip": _zip()[0]}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return [packed.getvalue()]


def _gguf() -> list[bytes]:
    tiny = runpy.run_path(str(_DATA / "tiny_models.py"))
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "head_dim": 8,
        "num_attention_heads": 2,
    }
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 512}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for family, keys in {"llama": {}, "qwen2": yarn, "gemma3_text": {}}.items():
            path = Path(folder) / f"{family}.gguf"
            found.append(tiny["write_gguf"](path, tiny["make_model"](family, **sizes), keys=keys).read_bytes())
    return found


# By the suffix of their names.
SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "pdf": _pdf,
    "txt": _text,
    "docx": _word,
    "pptx": lambda: [pptx([shape("Title", "title") + shape("a\nb"), shape("two")])],
    "xlsx": _sheets,
    "odt": lambda: [open_document("text", _OPEN_TEXT)],
    "ods": lambda: [open_document("spreadsheet", _OPEN_CELLS)],
    "epub": lambda: [package(dict(_BOOK))],
    "html": lambda: [_HTML.encode(), _HTML.replace("utf-8", "cp1252").encode("cp1252", "xmlcharrefreplace")],
    "rtf": lambda: [_RTF],
    "eml": _mail,
    "mbox": _mailbox,
    "ipynb": _notebook,
    "csv": lambda: [_TABLE.encode(), _TABLE.replace(";", "\t").encode("utf-16")],
    "srt": lambda: [_SUBTITLES.encode(), b"WEBVTT\n\n" + _SUBTITLES.replace(",", ".").encode()],
    "doc": lambda: [compound_file("WordDocument"), compound_file("Workbook"), compound_file("EncryptedPackage")],
    "zip": _zip,
    "tar": _tar,
    "gz": lambda: [gzip.compress(_TEXT.encode()), gzip.compress(_tar()[0])],
    "gguf": _gguf,
}
