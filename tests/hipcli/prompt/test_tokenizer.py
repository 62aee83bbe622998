"""Text to token ids by `tokenizers` alone: what transformers makes of the same files, or transformers itself."""

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError
from transformers import AutoTokenizer

from hipcli.errors import HipError
from hipcli.models.resolve import resolve
from hipcli.prompt.tokenizer import FastTokenizer, Tokenizer, TransformersTokenizer, load_tokenizer

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
CHAT = [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Wo ist die <b>Mühle</b>?"}]
THINK = {
    "content": "<think>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": False,
}  # fmt: skip
TRUNCATION = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
PADDING = {
    "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
    "pad_token": "<|endoftext|>",
}  # fmt: skip
ONE, OTHER = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
BEGINNING = {
    "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "b", "type_id": 0}}, ONE], "pair": [ONE, OTHER],
    "special_tokens": {"b": {"id": "b", "ids": [1], "tokens": ["<|im_start|>"]}},
}  # fmt: skip

Edit = Callable[..., Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TINY["save_model"](tmp_path_factory.mktemp("tiny"), "llama")


@pytest.fixture
def edited(saved: Path, tmp_path: Path) -> Edit:
    """Copy the tokenizer with changes to its files; None leaves out a setting."""

    def edit(config: dict[str, Any] | None = None, tokenizer: dict[str, Any] | None = None, **files: Any) -> Path:
        for path in saved.glob("*token*"):
            shutil.copy(path, tmp_path)
        for name, changes in {"tokenizer_config": config, "tokenizer": tokenizer}.items():
            path = tmp_path / f"{name}.json"
            values = json.loads(path.read_text()) | (changes or {})
            path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path

    return edit


@pytest.mark.parametrize("kind", ["Qwen2Tokenizer", "GemmaTokenizer", "LlamaTokenizer"])
def test_a_folder_without_a_vocabulary_is_refused(kind: str, tmp_path: Path) -> None:
    TINY["make_model"]("qwen2").config.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    with pytest.raises(HipError, match=r"m: its tokenizer has no vocabulary: there is no tokenizer\.json") as caught:
        load_tokenizer("m", tmp_path)
    assert caught.value.hint == "download the model again, completely"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    TINY["make_model"]("llama").config.save_pretrained(tmp_path)
    with pytest.raises(HipError, match=r"m: its tokenizer cannot be loaded: there is no tokenizer\.json; "):
        load_tokenizer("m", tmp_path)


def both(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizer in a folder, read by the library `tokenizers` and by transformers."""
    return load_tokenizer("m", folder), TransformersTokenizer("m", AutoTokenizer.from_pretrained(folder), "of a test")


def assert_alike(ours: Tokenizer, theirs: Tokenizer, text: str) -> None:
    assert isinstance(ours, FastTokenizer) and ours.because is None
    for control in (True, False):
        ids = ours.encode(text, control=control)
        assert ids == theirs.encode(text, control=control)
        assert ours.decode(ids) == theirs.decode(ids)
        assert (ours.eos_id in ids) == (control and "<|im_end|>" in text)
    assert (ours.added_tokens, ours.bos_id, ours.eos_id) == (theirs.added_tokens, theirs.bos_id, theirs.eos_id)
    assert ours.chat_template == theirs.chat_template
    assert ours.wants_bos() == theirs.wants_bos()


@pytest.mark.parametrize(
    "text", ["", "in the 12 ", "naïve 文\r\n\n 😀", "a<|im_end|> <|im_start|>b <|im_<|im_end|>end|>"]
)
def test_ids_and_text_are_those_of_transformers(saved: Path, text: str) -> None:
    assert_alike(*both(saved), text)


@pytest.mark.parametrize(
    "template",
    [
        "{{ bos_token }}{% for m in messages %}\n  {% if not loop.first %}\n{{ eos_token }}{% endif %}\n"
        "<|im_start|>{{ m.role }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}\n{{ pad_token }}{{ unk_token }}",
        "{% for m in messages %}{% generation %}\n{{ m.content }}{% endgeneration %} {% endfor %}",
        "{{ messages | tojson }}{{ messages[1] | tojson(indent=2) }}",
        "{{ messages | tojson(ensure_ascii=True, separators=(',', ':'), sort_keys=True) }}",
        "{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
        "{{ add_generation_prompt }} {{ enable_thinking }} {{ tools }} {{ documents }} {{ strftime_now('%Y') }}",
    ],
)
def test_chats_are_those_of_transformers(saved: Path, template: str) -> None:
    ours = load_tokenizer("m", saved)
    ours.chat_template = template
    expected = AutoTokenizer.from_pretrained(saved).apply_chat_template(
        CHAT, chat_template=template, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    assert ours.render(CHAT) == expected != ""


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{% if %}", "{{ messages[7].content.x }}"])
def test_a_chat_that_a_template_refuses_is_empty(saved: Path, template: str) -> None:
    ours = load_tokenizer("m", saved)
    ours.chat_template = template
    assert ours.render(CHAT) == ""
    with pytest.raises(TemplateError):
        AutoTokenizer.from_pretrained(saved).apply_chat_template(CHAT, chat_template=template, tokenize=False)


def test_a_template_in_a_file_of_its_own_goes_before_the_one_in_the_configuration(edited: Edit) -> None:
    folder = edited({"chat_template": "of the configuration"})
    for expected in ("of the configuration", "of its own\n"):
        assert [each.chat_template for each in both(folder)] == [expected, expected]
        (folder / "chat_template.jinja").write_text("of its own\n")


@pytest.mark.parametrize("changes", [{"truncation": TRUNCATION}, {"padding": PADDING}, {"post_processor": BEGINNING}])
def test_what_files_say_of_training_does_not_touch_a_text(edited: Edit, changes: dict[str, Any]) -> None:
    ours, theirs = both(edited(tokenizer=changes))
    assert_alike(ours, theirs, "The mill burned down in March.")
    assert ours.wants_bos() == ("post_processor" in changes)


def test_special_tokens_of_old_models_stand_in_a_file_of_their_own(edited: Edit) -> None:
    names = {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>", "lstrip": False}}
    folder = edited(dict.fromkeys(("bos_token", "eos_token")), special_tokens_map=names)
    assert_alike(*both(folder), "a<|im_end|>")


@pytest.mark.parametrize(
    ("files", "token"),
    [
        ({"config": {"added_tokens_decoder": {"320": THINK}}}, "<think>"),
        ({"added_tokens": {"<think>": 320}}, "<think>"),
        ({"config": {"image_token": "[PAD7]"}}, "[PAD7]"),
        ({"config": {"extra_special_tokens": ["[PAD7]"]}}, "[PAD7]"),
        ({"config": {"additional_special_tokens": ["[PAD7]"]}}, "[PAD7]"),
        ({"tokenizer": {"added_tokens": []}}, "<|im_start|>"),
        (
            {
                "config": {"added_tokens_decoder": {"320": THINK | {"rstrip": True}}},
                "tokenizer": {"added_tokens": [{"id": 320, **THINK}]},
            },
            "<think>",
        ),
    ],
)
def test_transformers_puts_together_what_files_say_differently(edited: Edit, files: dict[str, Any], token: str) -> None:
    made = load_tokenizer("m", edited(**files))
    assert isinstance(made, TransformersTokenizer)
    assert made.because == f"transformers (tokenizer.json and the files beside it disagree on {token!r})"
    assert made.encode(f"a{token} ", control=True)[1] == made.added_tokens[token][0]


def test_of_several_chat_templates_the_default_one_is_taken(edited: Edit) -> None:
    templates = [{"name": name, "template": f"a {name} one"} for name in ("tool_use", "default")]
    made = load_tokenizer("m", edited({"chat_template": templates}))
    assert made.because == "transformers (several chat templates)"
    assert made.chat_template == "a default one"


@pytest.mark.model
def test_the_embedded_model_has_the_tokens_of_transformers() -> None:
    text = "In 1872, 12 naïve millers – señor Łoś among them – paid €3.50 😀🏳️‍🌈.<|im_end|>\n\n\tThe end<|im_start|>  "
    ours, theirs = both(resolve(None).path)
    assert_alike(ours, theirs, text * 3)
    assert ours.encode("1872", control=False) == [ours.encode(digit, control=False)[0] for digit in "1872"]
    assert ours.render(CHAT) == theirs.render(CHAT) != ""
