"""A model's tokenizer: tokenizer.json by the library `tokenizers`, which is there at once; else by transformers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hipcli.errors import HipError, first_line
from hipcli.prompt import chat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = Sequence[Mapping[str, str]]


class Tokenizer(Protocol):
    """Text to token ids and back.

    because: why transformers tokenises; None where `tokenizers` does it. chat_template is a Jinja template, or None;
    added_tokens are the ids of tokens that were added to the vocabulary, and whether they are special; bos_id begins a
    text, where the tokenizer has such a token; eos_id ends one. now: the time that chat templates see.
    """

    now: datetime
    name: str
    because: str | None
    chat_template: str | None
    added_tokens: dict[str, tuple[int, bool]]
    bos_id: int | None
    eos_id: int | None

    def encode(self, text: str, *, control: bool) -> list[int]:
        """Ids of `text` alone; with `control`, what looks like a special token is one."""

    def starts(self, text: str) -> list[int]:
        """Where in `text` each of its tokens begins, of `encode` without `control`. Raises HipError if unknown."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens."""

    def serialized(self) -> str:
        """The whole tokenizer as in tokenizer.json. Raises HipError if it is none of the library `tokenizers`."""

    def render(self, messages: Messages) -> str:
        """The chat template with these messages and the beginning of an answer; "" where it refuses them."""

    def wants_bos(self) -> bool:
        """Whether the tokenizer itself begins a text with its beginning-of-sequence token."""


class FastTokenizer:
    """A Tokenizer over a folder with tokenizer.json. Raises NotSelfContained where that does not say everything."""

    def __init__(self, name: str, folder: Path) -> None:
        from tokenizers import Tokenizer as Backend

        self.name = name
        self.now = datetime.now()
        self.because: str | None = None
        self._backend: Backend = Backend.from_file(str(folder / "tokenizer.json"))
        # Files that come out of training may say to cut every text.
        self._backend.no_truncation()
        self._backend.no_padding()
        self._config = _settings(folder)
        added = self._backend.get_added_tokens_decoder()
        self.added_tokens: dict[str, tuple[int, bool]] = {
            token.content: (number, bool(token.special)) for number, token in added.items()
        }
        tokens = ((key, _content(value)) for key, value in self._config.items() if key.endswith("_token"))
        self._special = {key: content for key, content in tokens if content is not None}
        known = {token.content: token for token in added.values()}
        for declared in _declared(self._config, self._special.values()):
            token = known.get(declared["content"])
            if token is None or any(getattr(token, key, value) != value for key, value in declared.items()):
                raise NotSelfContained(f"tokenizer.json and the files beside it disagree on {declared['content']!r}")
        self.chat_template = _template(folder, self._config)
        self.bos_id, self.eos_id = (self._id(f"{key}_token") for key in ("bos", "eos"))

    def encode(self, text: str, *, control: bool) -> list[int]:
        self._backend.encode_special_tokens = not control
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def starts(self, text: str) -> list[int]:
        self._backend.encode_special_tokens = True
        return [start for start, _ in self._backend.encode(text, add_special_tokens=False).offsets]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._backend.decode(list(ids), skip_special_tokens=True))

    def serialized(self) -> str:
        return str(self._backend.to_str())

    def render(self, messages: Messages) -> str:
        assert self.chat_template is not None
        return chat.render(self.chat_template, messages, self._special, self.now)

    def wants_bos(self) -> bool:
        if self.bos_id is None:
            return False
        first: list[int] = self._backend.encode("a", add_special_tokens=True).ids[:1]
        return first == [self.bos_id] or bool(self._config.get("add_bos_token"))

    def _id(self, key: str) -> int | None:
        token = self._special.get(key)
        number: int | None = None if token is None else self._backend.token_to_id(token)
        return number


class TransformersTokenizer:
    """A Tokenizer over one of transformers."""

    def __init__(self, name: str, tokenizer: "PreTrainedTokenizerBase", because: str) -> None:
        self.name = name
        self.now = datetime.now()
        self.because: str | None = f"transformers ({because})"
        self._tokenizer = tokenizer
        template = tokenizer.chat_template
        self.chat_template = template if template is None or isinstance(template, str) else str(template["default"])
        self.added_tokens: dict[str, tuple[int, bool]] = {
            token.content: (number, bool(token.special)) for number, token in tokenizer.added_tokens_decoder.items()
        }
        self.bos_id: int | None = tokenizer.bos_token_id
        self.eos_id: int | None = tokenizer.eos_token_id

    def encode(self, text: str, *, control: bool) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not control))

    def starts(self, text: str) -> list[int]:
        if not self._tokenizer.is_fast:
            message = f"{self.name}: its tokenizer does not say where in a text its tokens stand"
            raise HipError(message, "choose a model that has a tokenizer.json")
        encoded = self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        return [start for start, _ in encoded["offset_mapping"]]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def serialized(self) -> str:
        if not self._tokenizer.is_fast:
            message = f"{self.name}: its tokenizer does not say what its tokens spell"
            raise HipError(message, "choose a model that has a tokenizer.json")
        return str(self._tokenizer.backend_tokenizer.to_str())

    def render(self, messages: Messages) -> str:
        assert self.chat_template is not None
        special = {key: str(token) for key, token in self._tokenizer.special_tokens_map.items()}
        return chat.render(self.chat_template, messages, special, self.now)

    def wants_bos(self) -> bool:
        return self.bos_id is not None and self._tokenizer.encode("a")[:1] == [self.bos_id]


class NotSelfContained(Exception):
    """tokenizer.json does not say all there is to say."""


def load_tokenizer(name: str, folder: Path) -> Tokenizer:
    """The tokenizer in a model's folder. Raises HipError when there is none that can be read."""
    because = "there is no tokenizer.json"
    try:
        if (folder / "tokenizer.json").is_file():
            because = ""
            try:
                return FastTokenizer(name, folder)
            except NotSelfContained as reason:
                because = str(reason)
        tokenizer = _load_with_transformers(folder)
        added = {token.content for token in tokenizer.added_tokens_decoder.values()}
        # transformers makes up an empty vocabulary for some families, and goes on.
        if added.issuperset(tokenizer.get_vocab()):
            message = f"{name}: its tokenizer has no vocabulary: {because}, nor other files that transformers reads"
            raise HipError(message, "download the model again, completely")
        return TransformersTokenizer(name, tokenizer, because)
    except HipError:
        raise
    # A damaged tokenizer.json raises a bare Exception from Rust, a missing one OSError, ValueError or ImportError.
    except Exception as error:
        why = f"{because}; {first_line(error)}" if because else first_line(error)
        message = f"{name}: its tokenizer cannot be loaded: {why}"
        raise HipError(message, "download the model again") from error


def _load_with_transformers(folder: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    from hipcli.models.quiet import quiet_transformers

    quiet_transformers()
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty where there is no such file. Raises ValueError for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is not an object")
    return content


def _settings(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json, and what old models have in files beside it."""
    config = _object(folder / "tokenizer_config.json")
    if "added_tokens_decoder" not in config:
        config |= _object(folder / "special_tokens_map.json")
        added = _object(folder / "added_tokens.json")
        config["added_tokens_decoder"] = {number: {"content": content} for content, number in added.items()}
    return config


def _declared(config: Mapping[str, Any], special: Iterable[str]) -> list[Mapping[str, Any]]:
    """The tokens, each with what is said of it, that have to be in the vocabulary beside the words."""
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    names = (*special, *map(_content, extra.values() if isinstance(extra, dict) else extra))
    added = (config["added_tokens_decoder"] or {}).values()
    return [*added, *({"content": name} for name in names if name is not None)]


def _template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The chat template: a file of its own, or in tokenizer_config.json."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if template is not None and not isinstance(template, str):
        raise NotSelfContained("several chat templates")
    return template


def _content(token: object) -> str | None:
    """The text of a token that tokenizer_config.json gives as text or as an object."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None
