"""Stub."""
from collections.abc import Mapping
import pypdfium2
def notes(page: pypdfium2.PdfPage, text: str) -> tuple[str, dict[str, int]]:
    return "", {}
def said(found: Mapping[int, Mapping[str, int]]) -> tuple[str, ...]:
    return ()
