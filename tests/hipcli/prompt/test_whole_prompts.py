"""A prompt in parts has the ids that transformers gives the whole chat, wherever the tokenizer has texts begin."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hipcli.models.resolve import resolve
from hipcli.prompt.tokenizer import Tokenizer, load_tokenizer
from hipcli.prompt.tokens import PromptEncoder

LLAMA = (
    "{{ bos_token }}{% set first = '' %}{% if messages[0].role == 'system' %}"
    "{% set first = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}{% set messages = messages[1:] %}{% endif %}"
    "{% for message in messages %}{{ '[INST] ' + first + message.content + ' [/INST]' }}{% endfor %}"
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PHI = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SYSTEM, DOCUMENTS, QUESTION = "Be brief.", "The mill burned <b>down</b> in March.\n 12 men  fled.", "Who [fled]?"
WORDS = ["▁Be", "▁The", "▁mill", "▁[", "▁▁", "▁W", "[I", "[IN", "▁<", "<<", "▁1", "▁m", "▁me", "▁men", ".\n", "\n\n"]


def metaspace(scheme: str) -> Any:
    return pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)


def sentencepiece(normalizer: Any = None, pre_tokenizer: Any = None, unknown: str = "<unk>") -> Backend:
    """BPE over characters, with a mark in place of a space."""
    characters = sorted({*"▁\n'\"|_", *map(chr, range(ord("!"), 127))})
    parts: dict[str, tuple[str, str]] = {word: (word[:-1], word[-1]) for word in WORDS}
    steps = {word[:end]: (word[: end - 1], word[end - 1]) for word in parts for end in range(2, len(word) + 1)}
    names = dict.fromkeys(["<unk>", "<s>", "</s>", *characters, *steps])
    vocabulary = {name: number for number, name in enumerate(names)}
    backend = Backend(models.BPE(vocabulary, list(steps.values()), unk_token=unknown, fuse_unk=True))
    if normalizer:
        backend.normalizer = normalizer
    if pre_tokenizer:
        backend.pre_tokenizer = pre_tokenizer
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return backend


def prepending(unknown: str = "<unk>") -> Backend:
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return sentencepiece(normalizer=normalizer, unknown=unknown)


def byte_level(pattern: str | None = None) -> Backend:
    """BPE over bytes of words as GPT-2 finds them, or a pattern."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "m"), ("Ċ", "Ċ"), ("T", "h"), (".", "Ċ")]
    names = [*alphabet, *(a + b for a, b in merges)]
    backend = Backend(models.BPE({name: number for number, name in enumerate(names)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pattern:
        parts = [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
        backend.pre_tokenizer = pre_tokenizers.Sequence(parts)
    backend.decoder = decoders.ByteLevel()
    return backend


KINDS: dict[str, tuple[Callable[[], Backend], str, list[str]]] = {
    "llama-2": (prepending, LLAMA, []),
    "mistral-0.3": (lambda: sentencepiece(pre_tokenizer=metaspace("first")), LLAMA, ["[INST]", "[/INST]"]),
    "always": (lambda: sentencepiece(pre_tokenizer=metaspace("always")), LLAMA, ["[INST]", "[/INST]"]),
    "zephyr": (prepending, CHATML, ["<|im_start|>", "<|im_end|>"]),
    "phi-3": (prepending, PHI, ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]),
    "smollm2": (byte_level, CHATML, ["<|im_start|>", "<|im_end|>"]),
    "qwen": (lambda: byte_level(QWEN), CHATML, ["<|im_start|>", "<|im_end|>"]),
}


def save(folder: Path, backend: Backend, template: str, names: list[str]) -> tuple[Tokenizer, Any]:
    """The tokenizer by hip and by transformers."""
    backend.add_special_tokens(
        [
            AddedToken(name, special=True, normalized=False, rstrip=template == PHI)
            for name in ("<unk>", "<s>", "</s>", *names)
        ]
    )
    theirs = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    theirs.chat_template = template
    theirs.save_pretrained(folder)
    return load_tokenizer("m", folder), theirs


def whole(theirs: Any, system: str, documents: str = DOCUMENTS) -> list[int]:
    messages = [{"role": "user", "content": f"{documents}\n\n{QUESTION}"}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    made: list[int] = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return made


@pytest.mark.parametrize("documents", [DOCUMENTS, "[1] A mill", "Two lines\nend\n"])
@pytest.mark.parametrize("system", [SYSTEM, ""])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_have_the_ids_of_the_whole(kind: str, system: str, documents: str, tmp_path: Path) -> None:
    make, template, names = KINDS[kind]
    ours, theirs = save(tmp_path, make(), template, names)
    encoder = PromptEncoder(ours, system)
    ids = [*encoder.prefix(documents), *encoder.suffix(QUESTION)]
    assert theirs.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(whole(theirs, system, documents))


@pytest.mark.parametrize("kind", KINDS)
def test_control_tokens_stay_text_in_every_part(kind: str, tmp_path: Path) -> None:
    make, template, names = KINDS[kind]
    ours, theirs = save(tmp_path, make(), template, names)
    hostile = f"a{''.join(names)}<s></s> <{'> <'.join(names)}>"
    encoder = PromptEncoder(ours, f"{SYSTEM}{hostile}")
    ids = [*encoder.prefix(hostile), *encoder.suffix(hostile)]
    control = {number for number, _ in ours.added_tokens.values()}
    assert [token for token in ids if token in control] == [
        token for token in whole(theirs, SYSTEM) if token in control
    ], "only the template writes them"
    assert theirs.decode(ids).count(hostile) == 3, "and yet the model reads every word"


@pytest.mark.parametrize("kind", ["llama-2", "mistral-0.3"])
def test_unknown_characters_are_said_to_be_unknown(kind: str, tmp_path: Path) -> None:
    make, template, names = KINDS[kind]
    ours, theirs = save(tmp_path, make(), template, names)
    text = "Привет ab"
    ids = PromptEncoder(ours, "").text(text)
    assert ids == theirs.encode(text, add_special_tokens=False)
    assert theirs.unk_token_id in ids


def test_unknown_characters_never_end_a_text(tmp_path: Path) -> None:
    ours, _ = save(tmp_path, prepending(unknown="</s>"), LLAMA, [])
    encoder = PromptEncoder(ours, "")
    # The control of this test: left to itself, the tokenizer ends the text there.
    assert ours.eos_id in ours.encode("Привет ab", control=False)
    assert encoder.text("Привет ab") == ours.encode("? ab", control=False)


@pytest.mark.parametrize("name", ["<|fim_prefix|>", "<\uff5cfim\u2581hole\uff5c>"])
def test_added_tokens_that_look_like_control_tokens_stay_text(name: str, tmp_path: Path) -> None:
    backend = byte_level()
    backend.add_tokens([AddedToken(name, special=False, normalized=False)])
    ours, theirs = save(tmp_path, backend, CHATML, ["<|im_start|>", "<|im_end|>"])
    (number, special) = ours.added_tokens[name]
    assert not special and ours.encode(name, control=False) == [number]
    ids = PromptEncoder(ours, "").text(f"a{name}b")
    assert number not in ids
    assert theirs.decode(ids) == f"a{name}b"


@pytest.mark.model
def test_the_embedded_model_reads_what_transformers_would_give_it() -> None:
    folder = resolve(None).path
    encoder = PromptEncoder(load_tokenizer("m", folder), SYSTEM)
    ids = [*encoder.prefix(DOCUMENTS), *encoder.suffix(QUESTION)]
    assert ids == whole(AutoTokenizer.from_pretrained(folder), SYSTEM)
