"""Answers under a schema, written by a model that knows nothing."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from small_engine import DOCUMENT, QUESTION, SPARSE, Bytes, random_llama
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers

from hipcli.engine.engine import Engine
from hipcli.engine.events import Done, Token
from hipcli.engine.repetition import Repetition
from hipcli.engine.sampling import Chooser, Sampling
from hipcli.engine.text_stream import TextStream
from hipcli.errors import HipError
from hipcli.structured.grammar import Grammar
from hipcli.structured.schema import AnswerSchema

NESTED = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 5},
        "kind": {"enum": ["letter", "Vertrag", "\u20ac"]},
        "parts": {
            "type": "array",
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}, "ok": {"type": "boolean"}},
                "required": ["n", "ok"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["title", "kind", "parts"],
    "additionalProperties": False,
}


def grammar(schema: Any, tokenizer: Any = None) -> Grammar:
    return Grammar(AnswerSchema(json.dumps(schema)), tokenizer or Bytes(), {256})


def answer(schema: Any, sampling: Sampling, longest: int = 300) -> tuple[str, Done]:
    made = Engine(random_llama(), Bytes(), SPARSE, sampling, capacity=700, chunk_tokens=64, grammar=grammar(schema))
    list(made.read(DOCUMENT))
    *events, done = made.answer(QUESTION, longest)
    assert isinstance(done, Done)
    return "".join(event.text for event in events if isinstance(event, Token)), done


@pytest.mark.parametrize("seed", range(4))
def test_drawn_answers_follow_the_schema(seed: int) -> None:
    text, done = answer(NESTED, Sampling(temperature=3.0, top_p=0.9 if seed % 2 else 1.0, seed=seed))
    AnswerSchema(json.dumps(NESTED)).value(text)
    assert (done.finish_reason, done.fault) == ("stop", None)
    assert done.completion_tokens == len(text.encode()), "it ends where the JSON does"


def test_likeliest_answers_follow_the_schema_and_differ_from_free_ones() -> None:
    text, done = answer(NESTED, Sampling())
    AnswerSchema(json.dumps(NESTED)).value(text)
    assert done.fault is None


@pytest.mark.parametrize("longest", [1, 10, 40])
def test_an_answer_that_is_cut_is_a_fault(longest: int) -> None:
    text, done = answer({"type": "string", "minLength": 200}, Sampling(temperature=3.0, seed=1), longest)
    assert (done.finish_reason, done.completion_tokens) == ("length", longest)
    assert done.fault == "the answer ends before its JSON does"
    assert text.startswith('"')


def test_a_number_that_may_go_on_is_not_taken_for_a_whole_one() -> None:
    text, done = answer({"type": "integer", "minimum": 100_000}, Sampling(temperature=3.0, seed=1), 6)
    assert json.loads(text) >= 100_000
    assert (done.finish_reason, done.fault) == ("length", "the answer ends before its JSON does")


def test_penalties_do_not_break_an_answer() -> None:
    schema = {"type": "array", "minItems": 12, "maxItems": 12, "items": {"const": "the same words"}}
    text, done = answer(schema, Sampling(repetition=Repetition(dry=1000.0)))
    assert (json.loads(text), done.finish_reason) == (["the same words"] * 12, "stop")


def test_a_string_that_loops_is_stopped_and_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chooser, "_chosen", lambda self, logits: int(logits[0, 97] == -torch.inf and 34) or 97)
    text, done = answer({"type": "string"}, Sampling())
    assert (done.finish_reason, done.completion_tokens) == ("repetition", 97)
    assert (text, done.fault) == ('"' + "a" * 96, "the answer ends before its JSON does")


def test_tokens_that_a_schema_bars_are_barred_and_nan_stays() -> None:
    constraint = grammar({"enum": ["ab", "cd"]}).begin()
    logits = torch.zeros(1, 260)
    allowed = {i for i, x in enumerate(constraint.masked(logits)[0].tolist()) if x == 0}
    assert allowed == {ord('"')}
    constraint.push(ord('"'))
    assert {i for i, x in enumerate(constraint.masked(logits)[0].tolist()) if x == 0} == {ord("a"), ord("c")}
    logits[0, 5] = torch.nan
    assert constraint.masked(logits)[0, 5].isnan()


def test_a_token_that_is_not_allowed_is_an_error() -> None:
    constraint = grammar({"enum": ["ab"]}).begin()
    with pytest.raises(HipError, match="the schema cannot be kept to"):
        constraint.push(ord("a"))


def test_control_tokens_are_no_text() -> None:
    constraint = grammar({"type": "string"}).begin()
    constraint.push(ord('"'))
    assert constraint.masked(torch.zeros(1, 257))[0, 256] == -torch.inf


class SentencePieces(Bytes):
    """Words with a mark for the space before them, and bytes for the characters that the vocabulary has not."""

    eos_id = 1

    def __init__(self) -> None:
        super().__init__()
        words = ["▁", "▁the", "▁mill", "mill", '"', ":", ",", "{", "}", "[", "]", "é", '▁"', '":', '"}', "▁{", "true"]
        letters = [*"abcdefghijklmnopqrstuvwxyz0123456789"]
        names = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words, *letters]
        backend = Backend(models.BPE(dict(zip(names, range(len(names)), strict=True)), [], byte_fallback=True))
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        backend.add_special_tokens(["</s>"])
        self.size = len(names)
        self._backend = backend

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._backend.decode(list(ids), skip_special_tokens=True))

    def serialized(self) -> str:
        return str(self._backend.to_str())


@pytest.mark.parametrize("seed", range(4))
def test_any_choice_of_sentence_pieces_follows_the_schema(seed: int) -> None:
    tokenizer, generator = SentencePieces(), torch.Generator().manual_seed(seed)
    constraint = Grammar(AnswerSchema(json.dumps(NESTED)), tokenizer, {1}).begin()
    stream, text = TextStream(tokenizer), ""
    while not constraint.is_over:
        logits = constraint.masked(torch.randn(1, tokenizer.size, generator=generator))
        token = int(logits.argmax())
        constraint.push(token)
        text += stream.push(token)
    AnswerSchema(json.dumps(NESTED)).value(text + stream.flush())
