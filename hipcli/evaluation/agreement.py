"""How far a model with sparse attention says the same as with dense attention, token by token on the same text."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hipcli.evaluation.corpus import Corpus
from hipcli.evaluation.mass import masses
from hipcli.evaluation.perplexity import TokenStretches, last_quarter, rounded
from hipcli.evaluation.specs import Spec, parse
from hipcli.evaluation.subject import Subject
from hipcli.evaluation.units import Outcome, Unit

DENSE = parse("dense")


def units(corpus: Corpus, fingerprint: str, contexts: Sequence[int], n: int, decode: int) -> list[Unit]:
    """`n` stretches of each length: the last quarter against dense attention, and attention mass kept a layer.

    With `decode`, also that many last tokens of the stretch, fed one by one as the text has them: with the spec's
    refresh_interval against a new selection at every token, and against dense attention.
    """
    tokens = TokenStretches(corpus, n)
    dense = _Remembered()

    def unit(context: int, number: int) -> Unit:
        def run(subject: Subject, spec: Spec) -> Outcome:
            ids = tokens.get(subject, context, number)
            start = last_quarter(ids)
            expected = dense.get(subject, ids, start)
            columns = compare(subject, subject.hidden(ids, spec, start), expected)
            if decode:
                columns |= decode_columns(subject, spec, ids, decode)
            return Outcome(columns, {"mass": masses(subject, spec, ids)})

        return Unit("agreement", "text", context, number, 0, {"files": fingerprint, "of": n, "decode": decode}, run)

    return [unit(context, number) for context in contexts for number in range(n)]


class _Remembered:
    """Dense hidden states of the last stretch asked for, which all specs are compared with."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._hidden = torch.empty(0)

    def get(self, subject: Subject, ids: list[int], start: int) -> Tensor:
        if ids != self._ids:
            self._hidden, self._ids = subject.hidden(ids, DENSE, start), ids
        return self._hidden


def compare(subject: Subject, hidden: Tensor, expected: Tensor, prefix: str = "") -> dict[str, list[float]]:
    """Divergence in nats and equality of the likeliest token, for two sets of hidden states [rows, hidden].

    KL(expected || found): what the expected distribution loses when it is coded by the one found.
    """
    divergence, same = [], []
    for found, wanted in zip(subject.logits(hidden), subject.logits(expected), strict=True):
        target = wanted.log_softmax(1)
        divergence.append((target.exp() * (target - found.log_softmax(1))).sum(1))
        same.append(found.argmax(1) == wanted.argmax(1))
    return {f"{prefix}kl": rounded(torch.cat(divergence)), f"{prefix}top1": torch.cat(same).float().tolist()}


def decode_columns(subject: Subject, spec: Spec, ids: list[int], count: int) -> dict[str, list[float]]:
    """The last `count` tokens of the stretch one by one: the spec against refresh_interval 1 and against dense."""
    every = replace(spec, config=replace(spec.config, refresh_interval=1))
    found, fresh, dense = (decoded(subject, each, ids, count) for each in (spec, every, DENSE))
    return compare(subject, found, fresh, "refresh_") | compare(subject, found, dense, "decode_")


@torch.inference_mode()
def decoded(subject: Subject, spec: Spec, ids: list[int], count: int) -> Tensor:
    """Hidden states [count, hidden] of the last tokens, read one at a time after the others were read at once."""
    context = subject.context(spec, len(ids))
    context.hidden(ids[:-count])
    return torch.cat([context.hidden([token]) for token in ids[len(ids) - count :]])
