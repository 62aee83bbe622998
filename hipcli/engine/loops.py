"""Small models can fall into saying the same thing for ever; this tells when one has."""

from collections.abc import Sequence

TIMES = 4
LEAST = 96


def repeats(tokens: Sequence[int]) -> bool:
    """Whether `tokens` end in one passage said at least four times in a row, over at least 96 tokens."""
    for period in range(1, len(tokens) // TIMES + 1):
        if tokens[-1] != tokens[-1 - period]:
            continue
        span = period * max(TIMES, -(-LEAST // period))
        if span <= len(tokens) and tokens[-span:-period] == tokens[len(tokens) - span + period :]:
            return True
    return False
