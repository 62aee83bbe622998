"""Tokens of an answer to text, as they come."""

from hipcli.prompt.tokenizer import Tokenizer


class TextStream:
    """Text of a growing token sequence, piece by piece, never half a character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._shown = 0  # tokens whose text is out
        self._context = 0  # from here on tokens are decoded again, because spaces depend on neighbours

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        self._ids.append(token)
        return self._next(final=False)

    def flush(self) -> str:
        """What is left at the end."""
        return self._next(final=True)

    def _next(self, final: bool) -> str:
        before = self._tokenizer.decode(self._ids[self._context : self._shown])
        after = self._tokenizer.decode(self._ids[self._context :])
        if not final and after.endswith("\ufffd"):
            return ""
        self._context, self._shown = self._shown, len(self._ids)
        return after[len(before) :]
