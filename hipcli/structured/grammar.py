"""Which tokens may come next, so that an answer follows a schema (llguidance)."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hipcli.errors import HipError
from hipcli.prompt.tokenizer import Tokenizer
from hipcli.structured.schema import AnswerSchema

if TYPE_CHECKING:
    from llguidance import LLMatcher


class Grammar:
    """A schema in the tokens of one tokenizer; `stops` are those that end an answer.

    Raises HipError where the tokenizer is none of the library `tokenizers`.
    """

    def __init__(self, schema: AnswerSchema, tokenizer: Tokenizer, stops: Collection[int]) -> None:
        from llguidance import LLTokenizer

        self._grammar = schema.grammar
        self._stops = frozenset(stops)
        self._tokenizer = LLTokenizer(tokenizer.serialized(), eos_token=sorted(stops) or None)

    def begin(self) -> "Constraint":
        """The constraint of one answer."""
        from llguidance import LLMatcher

        return Constraint(LLMatcher(self._tokenizer, self._grammar, log_level=0), self._stops)


class Constraint:
    """What one answer may go on with. It may end where the end is allowed, which `masked` knows."""

    def __init__(self, matcher: "LLMatcher", stops: frozenset[int]) -> None:
        self._matcher = matcher
        self._stops = stops
        self._check()

    @property
    def is_over(self) -> bool:
        """Whether nothing but the end can come."""
        return bool(self._matcher.is_stopped())

    def masked(self, logits: Tensor) -> Tensor:
        """Logits [1, vocabulary] with minus infinity for every token that is not allowed. NaN stays NaN.

        Raises HipError where the schema is too much for the library.
        """
        packed = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8).to(logits.device)
        self._check()
        bits = (packed[:, None] >> torch.arange(8, dtype=torch.uint8, device=logits.device)) & 1
        allowed = bits.flatten()[: logits.shape[-1]].bool()
        # A model may have room for more tokens than its tokenizer has.
        barred = torch.zeros_like(logits).fill_(-torch.inf)
        barred[0, : len(allowed)].masked_fill_(allowed, 0)
        return logits + barred

    def push(self, token: int) -> None:
        """Take the token that was chosen. Raises HipError for one that is not allowed."""
        if token not in self._stops:
            self._matcher.consume_token(token)
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = " ".join(self._matcher.get_error().split())[:200]
            raise HipError(f"the schema cannot be kept to: {reason}", "simplify the schema")
