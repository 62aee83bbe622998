"""Documents that a session has under other names, or in another order: their contents decide."""

from collections.abc import Sequence
from dataclasses import replace

from hipcli.disk.session_header import KeptDocument
from hipcli.documents.document import Document


def arranged(documents: Sequence[Document], kept: Sequence[KeptDocument]) -> list[Document] | None:
    """`documents` in the order of those that are `kept`, known by the names that these have in the prompt.

    None where the contents are not the same, one for one.
    """
    left: dict[str, list[Document]] = {}
    for document in documents:
        left.setdefault(document.sha256, []).append(document)
    found = []
    for one in kept:
        same = left.get(one.sha256)
        if not same:
            return None
        # Of two that are alike, the one that still has its name.
        document = next((document for document in same if document.path in (one.path, one.name)), same[0])
        same.remove(document)
        found.append(document if document.path == one.name else replace(document, known_as=one.name))
    return found if len(found) == len(documents) else None
