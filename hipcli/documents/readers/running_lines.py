"""Running heads and feet, and page numbers: lines that many pages begin or end with."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

_NUMBER = re.compile(r"[0-9]{1,9}")
_LETTER = re.compile(r"[^\W\d_]")

_RUNNING_MIN_PAGES = 6  # fewer pages have too few lines to tell a running head from a coincidence
_RUNNING_MIN_SHARE = 0.3
_RUNNING_MAX_LINES = 3  # at either edge of a page


def drop_running_lines(
    texts: Sequence[str], labels: Sequence[str | None], keep: bool
) -> tuple[list[str], tuple[str, ...]]:
    """Drop page numbers and running heads and feet: lines that many pages begin or end with.

    Lines count as the same if they differ in numbers only, and these stand still or count pages: the last
    rows of tables differ in numbers, too. Where such a line has words, the first one stays: it may be a title.
    """
    if keep:
        return list(texts), ()
    pages = [text.split("\n") for text in texts]
    if len(pages) >= _RUNNING_MIN_PAGES:
        for edge in (0, -1):
            for _ in range(_RUNNING_MAX_LINES):
                if not _drop_at_edge(pages, edge):
                    break
    return ["\n".join(lines) for lines in pages], ()


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
