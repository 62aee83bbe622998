"""Stub."""
from collections.abc import Sequence
import pypdfium2
def doubtful(page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage, text: str) -> bool:
    return False
def incomplete(page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage) -> bool:
    return False
def better(first: str, second: str) -> str:
    return second if len(second) > len(first) else first
def said(pages: Sequence[int]) -> str:
    return ""
