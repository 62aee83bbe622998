"""Words that a line end divides."""

import re
from collections.abc import Sequence

# Lengths are bounded, and words entered at their beginning, to take linear time on any input.
_HYPHENATED = re.compile(r"\b(\w{1,40})-(?=(\w{1,40}))")
_LINE_END_HYPHEN = re.compile(r"\b(\w{1,40})[-\u00ad]\n(\w{1,40})")


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
