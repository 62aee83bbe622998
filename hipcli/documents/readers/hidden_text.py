"""Stub."""
from collections.abc import Mapping
from dataclasses import dataclass
import pypdfium2
@dataclass(frozen=True)
class Hidden:
    """Stub."""
    def __bool__(self) -> bool:
        return False
def hidden(page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage) -> Hidden:
    return Hidden()
def without(textpage: pypdfium2.PdfTextPage, hidden: Hidden) -> str:
    return str(textpage.get_text_range())
def said(found: Mapping[int, Hidden], read: bool) -> tuple[str, ...]:
    return ()
