"""The user's files as one long text: sentences to hide things between, and tokens to predict."""

import hashlib
import re
from collections.abc import Callable, Sequence

from hipcli.documents.document import Document
from hipcli.documents.marks import marked_text
from hipcli.errors import ExitCode, HipError

_SENTENCE = re.compile(r"""(?s)\S.{0,400}?(?:[.!?]['"”’)\]]*\s+|\n\s*\n)|.{1,400}(?:\s|$)|.{1,400}""")


class Corpus:
    """The text of documents, one after the other. `count` gives the number of tokens of a text."""

    def __init__(self, documents: Sequence[Document], count: Callable[[str], int]) -> None:
        self.text = "\n\n".join(marked_text(document) for document in documents)
        self._sentences = _SENTENCE.findall(self.text)
        self._count = count
        self._counts: dict[int, int] = {}

    def passage(self, first: float, tokens: int) -> list[str]:
        """Whole consecutive sentences of at most `tokens` tokens, from the share `first` of the text on.

        Goes on at the beginning where the text ends. Raises HipError, exit code 2, where the text holds fewer tokens.
        """
        number, total = int(first * len(self._sentences)), 0
        chosen: list[str] = []
        while True:
            if len(chosen) == len(self._sentences):
                raise too_short(total, tokens)
            total += self._tokens(number)
            if total > tokens:
                return chosen
            chosen.append(self._sentences[number])
            number = (number + 1) % len(self._sentences)

    def _tokens(self, number: int) -> int:
        if number not in self._counts:
            self._counts[number] = self._count(self._sentences[number])
        return self._counts[number]


def stretch(ids: Sequence[int], number: int, of: int, length: int) -> list[int]:
    """Stretch `number` of `of` stretches of `length` tokens, spread evenly over `ids`.

    Stretches may overlap, their last quarters never do. Raises HipError, exit code 2, where there are too few tokens.
    """
    needed = length + (of - 1) * (length // 4)
    if len(ids) < needed:
        raise too_short(len(ids), needed)
    start = number * (len(ids) - length) // max(1, of - 1)
    return list(ids[start : start + length])


def fingerprint(documents: Sequence[Document]) -> str:
    """Hash of the documents' bytes, in order."""
    return hashlib.sha256("".join(document.sha256 for document in documents).encode()).hexdigest()


def too_short(found: int, needed: int) -> HipError:
    return HipError(
        f"eval: the files hold {found:,} tokens, {needed:,} are needed", "give more files, or less --context or --n",
        ExitCode.USAGE,
    )  # fmt: skip
