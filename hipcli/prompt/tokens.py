"""Text to token ids, such that nothing a document says can become a control token.

The model's chat template is rendered with placeholders and cut at them. Its own text is tokenised with control
tokens recognised, everything put in their place without, and the ids are joined. The documents end up in a prefix
that does not depend on the question, so that one reading serves many questions.
"""

import re
from itertools import pairwise

from hipcli.errors import HipError
from hipcli.prompt.tokenizer import Tokenizer

# Letters and digits only: templates trim white space, and some take angle brackets apart.
_SYSTEM, _DOCUMENTS, _QUESTION = "Zsystem0slotZ", "Zdocuments1slotZ", "Zquestion2slotZ"
_SEPARATOR = "\n\n"


class PromptEncoder:
    """Token ids of prompts that share one system message.

    Raises HipError when the model's chat template cannot be rendered or drops a part of the message.
    """

    def __init__(self, tokenizer: Tokenizer, system: str) -> None:
        self._tokenizer = tokenizer
        self._control = _control_tokens(tokenizer)
        frame = _frame(tokenizer, bool(system))
        self._opening = [*self._own(frame[0]), *(self.text(system) if system else []), *self._own(frame[1])]
        self._closing = self._own(frame[2])
        if tokenizer.chat_template is None and tokenizer.bos_id is not None and tokenizer.wants_bos():
            self._opening.insert(0, tokenizer.bos_id)

    def prefix(self, documents: str) -> list[int]:
        """Ids of everything before the question: system message and documents."""
        return [*self._opening, *self.text(documents + _SEPARATOR)]

    def suffix(self, question: str) -> list[int]:
        """Ids of the question, up to where the model's answer begins."""
        return [*self.text(question), *self._closing]

    def text(self, text: str) -> list[int]:
        """Ids of `text` taken literally: never a control token, whatever it says."""
        # Tokenizers take Unicode scalar values only; file names can hold lone surrogates.
        text = text.encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = []
        for piece in _cut(text, self._control):
            ids += self._tokenizer.encode(piece, control=False)
        control = set(self._control.values())
        # What is left can only be the token for unknown characters, where that doubles as a control token.
        return [token for token in ids if token not in control]

    def _own(self, text: str) -> list[int]:
        """Ids of the chat template's own text, control tokens included."""
        return self._tokenizer.encode(text, control=True) if text else []


def _frame(tokenizer: Tokenizer, system: bool) -> tuple[str, str, str]:
    """The prompt's own text: before the system message, from there to the documents, and after the question.

    Without a system message the first part is empty.
    """
    if tokenizer.chat_template is None:
        return "", _SEPARATOR if system else "", "\n"
    message = _DOCUMENTS + _QUESTION
    if not system:
        attempts = [[{"role": "user", "content": message}]]
    else:
        # Some templates refuse a system message and some drop it; the user's message then begins with it.
        attempts = [
            [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": message}],
            [{"role": "user", "content": _SYSTEM + _SEPARATOR + message}],
        ]
    pattern = re.compile(f"(.*){_SYSTEM if system else ''}(.*){message}(.*)", re.DOTALL)
    for messages in attempts:
        match = pattern.fullmatch(tokenizer.render(messages))
        if match and not any(slot in part for slot in (_SYSTEM, message) for part in match.groups()):
            return (match[1], match[2], match[3]) if system else ("", match[1] + match[2], match[3])
    raise HipError(
        f"{tokenizer.name}: its chat template cannot hold a plain message",
        "choose another model with --model",
    )


def _control_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Tokens that steer the model: all special ones, and added ones that the chat template itself writes.

    White space is ordinary text, though some models have added tokens for it.
    """
    template = str(tokenizer.chat_template or "")
    return {
        token: number
        for token, (number, special) in tokenizer.added_tokens.items()
        if special or (token in template and not token.isspace())
    }


def _cut(text: str, control: dict[str, int]) -> list[str]:
    """`text` in pieces of which none holds the name of a control token: each is cut after its first character.

    Tokenizers can be told to take special tokens literally, but not the added ones beside them.
    """
    cuts = {0, len(text)}
    for name in control:
        start = text.find(name)
        while start >= 0:
            cuts.add(start + 1)
            start = text.find(name, start + 1)
    edges = sorted(cuts)
    return [text[a:b] for a, b in pairwise(edges)]
