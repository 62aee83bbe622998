"""Makes PDFs for tests by hand, with what no library writes: hidden text, layers, fields, notes, attached files."""

from collections.abc import Mapping, Sequence

FONT = "/Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding"


def pdf(
    *contents: str,
    page: str = "",
    resources: str = "",
    catalog: str = "",
    annotations: Sequence[str] = (),
    objects: Mapping[int, str | tuple[str, bytes]] | None = None,
) -> bytes:
    """A PDF with a page, 600 by 800 points, for each of `contents`, which are what they draw; F1 is a font.

    `page`, `resources` and `catalog` are entries of those dictionaries. `annotations` are those of the first page.
    `objects` are others, from number 100; a stream is its dictionary and its bytes.
    """
    made: dict[int, str | tuple[str, bytes]] = {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        2: "",
        3: f"<< {FONT} >>",
    }
    kids = []
    for content in contents:
        number = 10 + 2 * len(kids)
        notes = f"/Annots [{' '.join(f'{50 + i} 0 R' for i in range(len(annotations)))}]" if number == 10 else ""
        made[number] = (
            f"<< /Type /Page /Parent 2 0 R /Contents {number + 1} 0 R {notes} {page}"
            f" /Resources << /Font << /F1 3 0 R >> {resources} >> >>"
        )
        made[number + 1] = ("", content.encode("latin-1"))
        kids.append(f"{number} 0 R")
    made[2] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} /MediaBox [0 0 600 800] >>"
    made |= {50 + index: f"<< /Type /Annot {annotation} >>" for index, annotation in enumerate(annotations)}
    return _written(made | dict(objects or {}))


def line(text: str, y: int = 700, x: int = 72, size: float = 12, before: str = "") -> str:
    """What draws a line of text; `before` are operators that come first."""
    return f"q BT {before} /F1 {size} Tf {x} {y} Td ({text}) Tj ET Q\n"


def _written(objects: Mapping[int, str | tuple[str, bytes]]) -> bytes:
    written = b"%PDF-1.7\n"
    offsets = {}
    for number, item in sorted(objects.items()):
        offsets[number] = len(written)
        if isinstance(item, tuple):
            head, stream = item
            body = f"<< {head} /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream"
        else:
            body = item.encode("latin-1")
        written += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(written)
    written += b"xref\n0 1\n0000000000 65535 f \n"
    for number, offset in offsets.items():
        written += f"{number} 1\n{offset:010} 00000 n \n".encode()
    return written + f"trailer << /Size {max(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
