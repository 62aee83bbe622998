"""BM25 (Robertson and Zaragoza 2009, equation 3.15): the score by words that any search for evidence has to beat."""

import math
import re
from collections import Counter
from collections.abc import Sequence

_K1, _B = 1.2, 0.75  # usual values
_WORD = re.compile(r"\w+")


def bm25(texts: Sequence[str], query: str) -> list[float]:
    """The score of each text for the words of `query`."""
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    lengths = [count.total() for count in counts]
    mean = sum(lengths) / max(1, len(texts)) or 1.0
    frequency = Counter(word for count in counts for word in count)
    words = [
        (word, math.log(1 + (len(texts) - frequency[word] + 0.5) / (frequency[word] + 0.5)))
        for word in _WORD.findall(query.lower())
    ]
    return [
        sum(
            weight * count[word] * (_K1 + 1) / (count[word] + _K1 * (1 - _B + _B * length / mean))
            for word, weight in words
        )
        for count, length in zip(counts, lengths, strict=True)
    ]
