"""A prompt in parts has the ids that transformers gives the whole chat, wherever the tokenizer has texts begin."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hipcli.errors import HipError
from hipcli.models.resolve import resolve
from hipcli.prompt.tokenizer import Tokenizer, load_tokenizer
from hipcli.prompt.tokens import PromptEncoder

LLAMA = (
    "{{ bos_token }}{% set first = '' %}{% if messages[0].role == 'system' %}"
    "{% set first = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}{% set messages = messages[1:] %}{% endif %}"
    "{% for message in messages %}{% if message.role == 'assistant' %}{{ ' ' + message.content + ' ' + eos_token }}"
    "{% else %}{{ '[INST] ' + (first if loop.first else '') + message.content + ' [/INST]' }}{% endif %}{% endfor %}"
)
MISTRAL = (  # the system message stands in the last question
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content + '\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}"
    "{% for message in messages %}{% if message.role == 'assistant' %}{{ ' ' + message.content + eos_token }}"
    "{% else %}{{ '[INST] ' + (system if loop.last and system else '') + message.content + '[/INST]' }}{% endif %}"
    "{% endfor %}"
)
QWEN3 = (  # what the model thought is shown for the answer that begins, and not for those before
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
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
ANSWERS = ["Twelve men", "In March, <b>I</b> think"]
FURTHER = ["When?", "[Why] so?\nSay it  shortly."]


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


def talked(theirs: Any, asked: list[str]) -> list[int]:
    """The ids of a whole conversation, up to where the answer to the last question begins."""
    roles = [
        role for pair in zip(asked, ANSWERS, strict=False) for role in zip(("user", "assistant"), pair, strict=True)
    ]
    roles += [("user", text) for text in asked[len(ANSWERS) :]]
    messages = [{"role": role, "content": text} for role, text in roles]
    made: list[int] = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return made


def check_turns(ours: Tokenizer, theirs: Any) -> None:
    """Check that questions one by one are what the template makes of them, with the answers alone in between."""
    encoder = PromptEncoder(ours, "")
    first = [*encoder.prefix(DOCUMENTS), *encoder.suffix(QUESTION)]
    expected = talked(theirs, [f"{DOCUMENTS}\n\n{QUESTION}", *FURTHER])
    assert expected[: len(first)] == first
    rest = expected[len(first) :]
    for answer, question in zip(ANSWERS, FURTHER, strict=True):
        ids = encoder.follow_up(question)
        stop = next(i for i in range(len(rest)) if rest[i : i + len(ids)] == ids)
        assert theirs.decode(rest[:stop]).strip() == answer
        rest = rest[stop + len(ids) :]
    assert rest == []


@pytest.mark.parametrize("kind", KINDS)
def test_turns_have_the_ids_of_the_whole_conversation(kind: str, tmp_path: Path) -> None:
    make, template, names = KINDS[kind]
    check_turns(*save(tmp_path, make(), template, names))


def test_a_system_message_that_moves_to_the_last_question_does_not_move(tmp_path: Path) -> None:
    backend = sentencepiece(pre_tokenizer=metaspace("first"))
    ours, theirs = save(tmp_path, backend, MISTRAL, ["[INST]", "[/INST]"])
    check_turns(ours, theirs)
    assert PromptEncoder(ours, SYSTEM).follow_up(QUESTION) == PromptEncoder(ours, "").follow_up(QUESTION)


def test_turns_of_a_model_that_could_think_aloud(tmp_path: Path) -> None:
    names = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    ours, theirs = save(tmp_path, byte_level(QWEN), QWEN3, names)
    text = theirs.decode(PromptEncoder(ours, SYSTEM).follow_up("When?"))
    assert text == "<|im_end|>\n<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


@pytest.mark.parametrize("template", [
    "{% for m in messages if m.role == 'user' %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}",
    "{% for m in messages %}{% if loop.index > 1 %}{{ raise_exception('one') }}{% endif %}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{{ m.content }}{% endfor %}{{ messages[-1].content if messages | length > 1 else '' }}",
])  # fmt: skip
def test_a_template_that_cannot_hold_a_conversation_is_refused(template: str, tmp_path: Path) -> None:
    ours, _ = save(tmp_path, byte_level(), template, ["<|im_start|>", "<|im_end|>"])
    encoder = PromptEncoder(ours, "")
    assert encoder.suffix("When?"), "single questions can be asked"
    with pytest.raises(HipError, match="its chat template cannot hold a conversation"):
        encoder.follow_up("When?")


def test_turns_without_a_chat_template(tmp_path: Path) -> None:
    ours, theirs = save(tmp_path, byte_level(), CHATML, [])
    ours.chat_template = None
    assert theirs.decode(PromptEncoder(ours, SYSTEM).follow_up("When?")) == "\n\nWhen?\n"


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
    further, innocent = encoder.follow_up(hostile), PromptEncoder(ours, SYSTEM).follow_up("When?")
    assert [token for token in further if token in control] == [token for token in innocent if token in control]
    assert hostile in theirs.decode(further)


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
    check_turns(load_tokenizer("m", folder), AutoTokenizer.from_pretrained(folder))
