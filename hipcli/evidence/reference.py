"""A passage of a document, and what an answer has to do with it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Passage:
    """Characters [start, stop) of a page's text.

    `document` is the position of the document among those that were read, `page` that of the page in
    `Document.pages`; both count from 0. `text` is what stands there, word for word.
    """

    document: int
    page: int
    start: int
    stop: int
    text: str


@dataclass(frozen=True)
class Citation:
    """Something that an answer quotes, and where it was found.

    `passage` is None where nothing like it is in the documents. `score` is 1.0 where the passage is the quote but for
    white space, hyphens, quotation marks and ligatures, and `verified` says that it is then long enough to prove
    something; else `score` is how alike the best match is, from 0 to 1. `cited` is the page that the answer names for
    it, as it names it, if it names one.
    """

    quote: str
    passage: Passage | None
    score: float
    verified: bool
    cited: str | None = None


@dataclass(frozen=True)
class SourcePassage:
    """A passage that the attention of an answer lies on. `score` is its share of the attention that passages get."""

    passage: Passage
    score: float


@dataclass(frozen=True)
class Evidence:
    """What one answer rests on, as far as it was asked for.

    `heat` has, for each document and each of its pages, the attention of the answer a token of the page, as far as it
    is more than any question attracts; 1 is the mean of all pages.
    """

    citations: Sequence[Citation] | None = None
    sources: Sequence[SourcePassage] | None = None
    heat: Sequence[Sequence[float]] | None = None
