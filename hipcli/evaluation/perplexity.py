"""How well the last quarter of each stretch of text is predicted."""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from hipcli.evaluation.corpus import Corpus, stretch
from hipcli.evaluation.specs import Spec
from hipcli.evaluation.subject import Subject
from hipcli.evaluation.units import Outcome, Unit


def units(corpus: Corpus, fingerprint: str, contexts: Sequence[int], n: int) -> list[Unit]:
    """`n` stretches of each length, spread evenly over the text."""
    tokens = TokenStretches(corpus, n)

    def unit(context: int, number: int) -> Unit:
        def run(subject: Subject, spec: Spec) -> Outcome:
            ids = tokens.get(subject, context, number)
            hidden = subject.hidden(ids, spec, last_quarter(ids))
            return Outcome({"nats": rounded(losses(subject, hidden[:-1], ids))})

        return Unit("perplexity", "text", context, number, 0, {"files": fingerprint, "of": n}, run)

    return [unit(context, number) for context in contexts for number in range(n)]


class TokenStretches:
    """The text's tokens, made once; stretches of them."""

    def __init__(self, corpus: Corpus, of: int) -> None:
        self._of = of
        self._ids = cache(lambda subject: subject.encoder.text(corpus.text))

    def get(self, subject: Subject, context: int, number: int) -> list[int]:
        """Raises HipError, exit code 2, where the text is too short."""
        return stretch(self._ids(subject), number, self._of, context)


def last_quarter(ids: Sequence[int]) -> int:
    """Where the last quarter begins: its first token is read but not judged."""
    return len(ids) * 3 // 4


def losses(subject: Subject, hidden: Tensor, ids: Sequence[int]) -> Tensor:
    """Negative log-likelihood in nats of the last tokens of `ids`, one for each row of hidden [rows, hidden]."""
    targets = torch.tensor(ids[len(ids) - len(hidden) :], device=hidden.device)
    found, start = [], 0
    for logits in subject.logits(hidden):
        found.append(F.cross_entropy(logits, targets[start : start + len(logits)], reduction="none"))
        start += len(logits)
    return torch.cat(found)


def rounded(values: Tensor) -> list[float]:
    """Plain numbers of four decimals: thousands of them are stored."""
    return [round(value, 4) for value in values.tolist()]
