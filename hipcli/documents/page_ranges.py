"""`--pages 3-40,77`: which pages of a PDF to read. Counted from 1, both ends included."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hipcli.errors import ExitCode, HipError

_SPAN = re.compile(r"([0-9]{1,9})(?:(-)([0-9]{1,9})?)?")


@dataclass(frozen=True)
class PageRanges:
    """A set of page numbers; a span whose end is None is open."""

    spans: tuple[tuple[int, int | None], ...]

    def __contains__(self, number: int) -> bool:
        return any(first <= number and (last is None or number <= last) for first, last in self.spans)

    def highest(self) -> int:
        """The highest page asked for by number."""
        return max(first if last is None else last for first, last in self.spans)


def parse_page_ranges(text: str) -> PageRanges:
    """Read "3-40,77" or "40-". Raises HipError (usage) for anything else."""
    spans = []
    for part in text.split(","):
        match = _SPAN.fullmatch(part.strip())
        first = int(match[1]) if match else 0
        last = (int(match[3]) if match[3] else None) if match and match[2] else first
        if first < 1 or (last is not None and last < first):
            raise HipError(
                f"--pages {text}: {part.strip()!r} is not a page or a range of pages",
                "count from 1 and write pages and ranges such as 3-40,77 or 40-",
                ExitCode.USAGE,
            )
        spans.append((first, last))
    return PageRanges(tuple(spans))


def format_page_ranges(numbers: Iterable[int]) -> str:
    """The shortest text for ascending page numbers: [2, 5, 6, 7] gives "2, 5-7"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)
