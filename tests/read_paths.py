"""For tests of reading documents: read paths as `hip` does, and make files to read."""

import io
from pathlib import Path

from hipcli.documents.document import Document
from hipcli.documents.inputs import read_documents
from hipcli.documents.options import ReadOptions
from hipcli.errors import HipError


def read(*paths: object, stdin: bytes = b"", **options: object) -> list[Document | HipError]:
    """What `read_documents` yields for `paths`, where "-" is `stdin`. `options` are fields of ReadOptions."""
    chosen = ReadOptions(**options)  # type: ignore[arg-type]
    return list(read_documents([str(path) for path in paths], chosen, io.BytesIO(stdin)))


def document(*paths: object, stdin: bytes = b"", **options: object) -> Document:
    """The one document that is read."""
    (result,) = read(*paths, stdin=stdin, **options)
    assert isinstance(result, Document), result
    return result


def error(*paths: object, stdin: bytes = b"", **options: object) -> HipError:
    """The one error that reading gives. Its message and hint are one line each."""
    (result,) = read(*paths, stdin=stdin, **options)
    assert isinstance(result, HipError), result
    assert result.hint and "\n" not in result.message + result.hint
    return result


def make_tree(root: Path, *names: str) -> None:
    """Make text files below `root`, with their directories."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text")
