"""Text to token ids, such that nothing a document says can become a control token.

The model's chat template is rendered with placeholders and cut at them. Its control tokens are tokenised as such; all
else, its own words and what was put in the place of the placeholders, is plain text. Text is tokenised in one piece
from one control token to the next, as whole prompts are. Only before the question is it cut: the documents end up in a
prefix that does not depend on the question, so that one reading serves many questions.
"""

import re
from functools import cached_property
from itertools import accumulate, pairwise

from hipcli.errors import HipError
from hipcli.prompt.tokenizer import Tokenizer

# Letters and digits only: templates trim white space, and some take angle brackets apart.
_SYSTEM, _DOCUMENTS, _QUESTION = "Zsystem0slotZ", "Zdocuments1slotZ", "Zquestion2slotZ"
_ANSWER, _NEXT = "Zanswer3slotZ", "Znext4slotZ"
_SEPARATOR = "\n\n"
# DeepSeek's have full-width bars. They need not be special: Qwen's <|fim_prefix|> is not.
_LIKE_CONTROL = re.compile("<[|\uff5c].*[|\uff5c]>", re.DOTALL)


class PromptEncoder:
    """Token ids of prompts that share one system message.

    Raises HipError when the model's chat template cannot be rendered or drops a part of the message.
    """

    def __init__(self, tokenizer: Tokenizer, system: str) -> None:
        self._tokenizer = tokenizer
        self._control = _control_tokens(tokenizer)
        # Special tokens that neither the template writes nor begin or end a text do not steer: unknown characters are
        # often one of these, and no other can come out of plain text.
        self._steering = {
            number
            for name, number in self._control.items()
            if number in (tokenizer.bos_id, tokenizer.eos_id)
            or name in (tokenizer.chat_template or "")
            or not tokenizer.added_tokens[name][1]
        }
        self._anchors = _anchors(tokenizer)
        self._mark = [token for token in self._encode("?", begins=False) if token not in self._steering]
        self._before, self._after = self._separator()
        frame = _frame(tokenizer, bool(system))
        # The ids before the documents, up to a control token; then text; and whether that is one's beginning.
        self._opening: list[int] = []
        self._lead, self._begins = "", True
        for own, content in ((frame[0], system), (frame[1], "")):
            before, control, after = self._divide(own)
            if control:
                self._opening += [*self._plain(self._lead + before, begins=self._begins), *self._own(control)]
                self._lead, self._begins = after, self._begins_behind(control)
            else:
                self._lead += before
            self._lead += content
        self._end, self._closing = self._ending(frame[2])
        if tokenizer.chat_template is None and tokenizer.bos_id is not None and tokenizer.wants_bos():
            self._opening.insert(0, tokenizer.bos_id)

    def prefix(self, documents: str) -> list[int]:
        """Ids of everything before the question: system message and documents."""
        return [*self._opening, *self._plain(self._lead + documents + self._before, begins=self._begins)]

    def places(self, documents: str) -> list[int]:
        """Where in `documents` each token of `prefix` begins, ascending; below 0 before them, behind their end after.

        Raises HipError where the tokenizer does not say.
        """
        lead = len(self._lead)
        found = [-lead - 1] * len(self._opening)
        text = (self._lead + documents + self._before).encode("utf-8", "replace").decode("utf-8")
        before = 0
        for number, piece in enumerate(_cut(text, self._control)):
            ids, starts = self._located(piece, begins=self._begins and number == 0)
            for token, start in zip(ids, starts, strict=True):
                count = len(self._mark) if token in self._steering else 1
                found += [before + start - lead] * count
            before += len(piece)
        return list(accumulate(found, max))

    def suffix(self, question: str) -> list[int]:
        """Ids of the question, up to where the model's answer begins."""
        return [*self._plain(self._after + question + self._end, begins=False), *self._closing]

    @property
    def closing(self) -> int:
        """How many tokens of `suffix`, at least, come behind the question, whatever it is."""
        return len(self._closing)

    def follow_up(self, question: str) -> list[int]:
        """Ids from the end of an answer, the token that ends it included, to where the answer to `question` begins.

        Raises HipError where the model's chat template cannot hold a conversation.
        """
        turned, lead, begins, end, closing = self._turn
        return [*turned, *self._plain(lead + question + end, begins=begins), *closing]

    def text(self, text: str) -> list[int]:
        """Ids of `text` taken literally: never a control token, whatever it says."""
        return self._plain(text, begins=True)

    def _plain(self, text: str, *, begins: bool) -> list[int]:
        """Ids of `text` taken literally, where it `begins` a text or goes on with one."""
        # Tokenizers take Unicode scalar values only; file names can hold lone surrogates.
        text = text.encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = []
        for number, piece in enumerate(_cut(text, self._control)):
            for token in self._encode(piece, begins=begins and number == 0):
                # A model may have the end of a text stand for unknown characters too.
                ids += self._mark if token in self._steering else (token,)
        return ids

    def _encode(self, text: str, *, begins: bool) -> list[int]:
        """What the tokenizer makes of `text`; some put a space before every text that is not to go on with another."""
        for anchor, ids in () if begins else self._anchors:
            both = self._tokenizer.encode(anchor + text, control=False)
            # Else the text and the anchor have become one token.
            if both[: len(ids)] == ids:
                return both[len(ids) :]
        return self._tokenizer.encode(text, control=False)

    def _located(self, text: str, *, begins: bool) -> tuple[list[int], list[int]]:
        """What `_encode` gives, and where in `text` each token begins."""
        ids = self._encode(text, begins=begins)
        for anchor, before in () if begins else self._anchors:
            if self._tokenizer.encode(anchor + text, control=False) == [*before, *ids]:
                starts = self._tokenizer.starts(anchor + text)[len(before) :]
                return ids, [max(0, start - len(anchor)) for start in starts]
        return ids, self._tokenizer.starts(text)

    @cached_property
    def _turn(self) -> tuple[list[int], str, bool, str, list[int]]:
        """What is around a further question: ids up to a control token, then text; whether that is one's beginning;
        and what follows it, as `_ending` gives it.
        """
        between, ending = _continuation(self._tokenizer)
        before, control, after = self._divide(between)
        end, closing = self._ending(ending)
        if not control:
            return [], before, False, end, closing
        return (
            [*self._plain(before, begins=False), *self._own(control)],
            after,
            self._begins_behind(control),
            end,
            closing,
        )

    def _ending(self, own: str) -> tuple[str, list[int]]:
        """The template's own text behind a question: text up to its control tokens, and the ids of the rest."""
        end, control, after = self._divide(own)
        return end, [*self._own(control), *self._plain(after, begins=self._begins_behind(control))]

    def _own(self, text: str) -> list[int]:
        """Ids of the chat template's own text, control tokens included."""
        return self._tokenizer.encode(text, control=True) if text else []

    def _separator(self) -> tuple[str, str]:
        """What separates documents and question, cut where the tokenizer itself cuts it between two words."""
        whole = self._encode(f"a{_SEPARATOR}a", begins=True)
        for cut in range(len(_SEPARATOR), -1, -1):
            before, after = _SEPARATOR[:cut], _SEPARATOR[cut:]
            if [*self._encode(f"a{before}", begins=True), *self._encode(f"{after}a", begins=False)] == whole:
                return before, after
        return _SEPARATOR, ""

    def _begins_behind(self, control: str) -> bool:
        """Whether the tokenizer has a text begin anew behind control tokens."""
        return self._own(f"{control}a") == [*self._own(control), *self._encode("a", begins=True)]

    def _divide(self, own: str) -> tuple[str, str, str]:
        """The template's own text before its control tokens, from the first to the last of them, and behind them."""
        # Where one name begins another, tokenizers take the longer one.
        names = "|".join(re.escape(name) for name in sorted(self._control, key=len, reverse=True))
        found = list(re.finditer(names, own)) if names else []
        if not found:
            return own, "", ""
        start, stop = found[0].start(), found[-1].end()
        before, control, after = own[:start], own[start:stop], own[stop:]
        # Some control tokens swallow the white space beside them.
        if self._own(before + control) == self._own(before.rstrip() + control):
            before = before.rstrip()
        if self._own(control + after) == self._own(control + after.lstrip()):
            after = after.lstrip()
        return before, control, after


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


def _continuation(tokenizer: Tokenizer) -> tuple[str, str]:
    """A conversation's own text between an answer and the next question, and from there to the next answer.

    There is no system message in it: some templates move that to the last question, and it is read already.
    """
    if tokenizer.chat_template is None:
        return _SEPARATOR, "\n"
    said = (("user", _QUESTION), ("assistant", _ANSWER), ("user", _NEXT))
    rendered = tokenizer.render([{"role": role, "content": text} for role, text in said])
    match = re.fullmatch(f".*{_QUESTION}.*{_ANSWER}(.*){_NEXT}(.*)", rendered, re.DOTALL)
    if not match or any(rendered.count(text) != 1 for _, text in said):
        raise HipError(
            f"{tokenizer.name}: its chat template cannot hold a conversation",
            "ask single questions with `hip ask`, or choose another model with --model",
        )
    return match[1], match[2]


def _control_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Tokens that steer the model: special ones, added ones that look so, and added ones that its template writes.

    White space is ordinary text, though some models have added tokens for it.
    """
    template = str(tokenizer.chat_template or "")
    return {
        token: number
        for token, (number, special) in tokenizer.added_tokens.items()
        if special or _LIKE_CONTROL.fullmatch(token) or (token in template and not token.isspace())
    }


def _anchors(tokenizer: Tokenizer) -> list[tuple[str, list[int]]]:
    """Texts, with their ids, to put before one that goes on with another; none where the tokenizer does not care."""
    added = {number for number, _ in tokenizer.added_tokens.values()}
    anchors = []
    for anchor in "\n.0":
        ids = tokenizer.encode(anchor, control=False)
        both = tokenizer.encode(f"{anchor}a", control=False)
        # Unknown characters can become one token with unknown ones that follow.
        if ids and both[: len(ids)] == ids and not added.intersection(ids):
            if both[len(ids) :] == tokenizer.encode("a", control=False):
                return []
            anchors.append((anchor, ids))
    return anchors


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
