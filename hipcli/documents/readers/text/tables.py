"""Tables of text (CSV, TSV), which stay as they are."""

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.text.text import decode_text


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The text in `data` as one page. Raises HipError as decode_text does."""
    decoded = decode_text(data, where, options.encoding)
    return Content(
        kind="csv",
        reader="text",
        pages=(Page(1, decoded.text),),
        encoding=decoded.encoding,
        warnings=decoded.warnings,
    )
