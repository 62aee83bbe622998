"""Scores of an answer against what was expected."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hipcli.errors import HipError

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def found(answer: str, expected: str) -> bool:
    """Whether `expected` stands in `answer` as it is, and not as a part of a longer word or number."""
    return re.search(rf"(?<!\w){re.escape(expected)}(?!\w)", answer) is not None


def normalised(text: str) -> str:
    """Lower case without punctuation, articles and spare white space, as SQuAD (arXiv 1606.05250) compares answers."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 if the normalised answer is one of the references, else 0."""
    return float(normalised(answer) in {normalised(reference) for reference in references})


def contains(answer: str, references: Sequence[str]) -> float:
    """1 if one of the normalised references stands in the answer, else 0."""
    text = normalised(answer)
    return float(any(found(text, normalised(reference)) for reference in references))


def token_f1(answer: str, references: Sequence[str]) -> float:
    """Best harmonic mean of precision and recall of normalised words, over the references."""
    return max(_f1(normalised(answer).split(), normalised(reference).split()) for reference in references)


def _f1(words: list[str], reference: list[str]) -> float:
    common = sum((Counter(words) & Counter(reference)).values())
    return 2 * common / (len(words) + len(reference)) if common else 0.0


class Rouge:
    """ROUGE-L F-measure by the package rouge-score. Raises HipError, exit code 1, where that is not installed."""

    def __init__(self) -> None:
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError as error:
            raise HipError("eval: ROUGE needs the package rouge-score", "pip install 'hipcli[eval]'") from error
        self._scorer: Any = RougeScorer(["rougeL"], use_stemmer=True)

    def __call__(self, answer: str, references: Sequence[str]) -> float:
        """Best score over the references."""
        return float(max(self._scorer.score(reference, answer)["rougeL"].fmeasure for reference in references))
