"""Repairs of text taken out of a PDF: control characters, ligatures, hyphenated line ends, running heads."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

# PDFium puts one of these where it took out a hyphen and the line end after it.
_REMOVED_HYPHEN = re.compile("[\x02\ufffe]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\uffff]")
# Only these seven: NFKC would also turn x² into x2.
_LIGATURES = str.maketrans(dict(zip("ﬀﬁﬂﬃﬄﬅﬆ", ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True)))
# Lengths are bounded, and words entered at their beginning, to take linear time on any input.
_HYPHENATED = re.compile(r"\b(\w{1,40})-(?=(\w{1,40}))")
_LINE_END_HYPHEN = re.compile(r"\b(\w{1,40})[-\u00ad]\n(\w{1,40})")
_NUMBER = re.compile(r"[0-9]{1,9}")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_LETTER = re.compile(r"[^\W\d_]")

_RUNNING_MIN_PAGES = 6  # fewer pages have too few lines to tell a running head from a coincidence
_RUNNING_MIN_SHARE = 0.3
_RUNNING_MAX_LINES = 3  # at either edge of a page


def clean(text: str) -> str:
    """Text of one page without what is no text; its lines end in "\\n" and not in spaces."""
    text = _REMOVED_HYPHEN.sub("-\n", text.replace("\r\n", "\n"))
    text = _CONTROLS.sub("", text).translate(_LIGATURES)
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def join_hyphenated(texts: Sequence[str]) -> list[str]:
    """Put words together again that a line end divides.

    The hyphen stays in a compound that the document also writes in the middle of a line (FAA-approved).
    """
    compounds = {f"{first}-{second}".lower() for text in texts for first, second in _HYPHENATED.findall(text)}

    def join(match: re.Match[str]) -> str:
        first, second = match.groups()
        if f"{first}-{second}".lower() in compounds:
            return f"{first}-{second}"
        # A capital or a figure after the hyphen is a name or a range: leave it as it is printed.
        return first + second if first[-1].isalpha() and second[0].islower() else match[0]

    return [_LINE_END_HYPHEN.sub(join, text) for text in texts]


def drop_running_lines(texts: Sequence[str]) -> list[str]:
    """Drop page numbers and running heads and feet: lines that many pages begin or end with.

    Lines count as the same if they differ in numbers only, and these stand still or count pages: the last
    rows of tables differ in numbers, too. Where such a line has words, the first one stays: it may be a title.
    """
    pages = [text.split("\n") for text in texts]
    if len(pages) >= _RUNNING_MIN_PAGES:
        for edge in (0, -1):
            for _ in range(_RUNNING_MAX_LINES):
                if not _drop_at_edge(pages, edge):
                    break
    return ["\n".join(lines) for lines in pages]


def is_right_to_left(texts: Sequence[str]) -> bool:
    """Whether most letters are Arabic, Hebrew or of a related script."""
    return 2 * sum(map(_count_right_to_left, texts)) > sum(len(_LETTER.findall(text)) for text in texts)


def _count_right_to_left(text: str) -> int:
    return len(_RIGHT_TO_LEFT.findall(text))


def _drop_at_edge(pages: list[list[str]], edge: int) -> bool:
    alike: dict[str, list[int]] = defaultdict(list)
    for index, lines in enumerate(pages):
        if lines:
            alike[_NUMBER.sub("#", lines[edge].strip())].append(index)
    dropped = False
    for form, indices in alike.items():
        if len(indices) <= max(2, _RUNNING_MIN_SHARE * len(pages)) or not re.search(r"\w|#", form):
            continue
        if not all(_counts_pages(indices, values) for values in _columns(pages, edge, indices)):
            continue
        for index in indices[1:] if _LETTER.search(form) else indices:
            del pages[index][edge]
            while pages[index] and not pages[index][edge]:
                del pages[index][edge]
        dropped = True
    return dropped


def _columns(pages: list[list[str]], edge: int, indices: list[int]) -> Iterator[tuple[int, ...]]:
    """The first number of each line, then the second of each, and so on."""
    rows = [[int(number) for number in _NUMBER.findall(pages[index][edge])] for index in indices]
    return zip(*rows, strict=True)


def _counts_pages(indices: Sequence[int], values: Sequence[int]) -> bool:
    """Whether `values` mostly stand still or grow as the page `indices` do; some jump, at a new chapter."""
    steps = [
        value_step in (0, page_step)
        for value_step, page_step in zip(_differences(values), _differences(indices), strict=True)
    ]
    return sum(steps) >= 0.7 * len(steps)


def _differences(values: Sequence[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(values)]
