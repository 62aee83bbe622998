"""Stub."""
import pypdfium2
from hipcli.documents.document import Member
def members(document: pypdfium2.PdfDocument) -> tuple[Member, ...]:
    return ()
