"""Stub."""
import pypdfium2
def values(document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage, text: str) -> str:
    return ""
def xfa(document: pypdfium2.PdfDocument) -> tuple[str, tuple[str, ...]]:
    return "", ()
