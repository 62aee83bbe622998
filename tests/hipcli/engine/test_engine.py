"""The engine on a tiny random model: the same tokens as one pass over all of them, whatever was asked before."""

import pytest
import torch
from hip_attention.cache.step import Step
from small_engine import DOCUMENT, QUESTION, SPARSE, Bytes, answered, random_llama

from hipcli.engine.engine import Engine
from hipcli.engine.events import Done, PrefillProgress, Token
from hipcli.engine.prefill import Context
from hipcli.engine.sampling import Sampling
from hipcli.errors import ExitCode, HipError
from hipcli.models.decoder import Decoder
from hipcli.models.language_model import LoadedModel


@pytest.fixture
def model() -> LoadedModel:
    return random_llama()


def engine(model: LoadedModel, sampling: Sampling | None = None) -> Engine:
    return Engine(model, Bytes(), SPARSE, sampling, capacity=400, chunk_tokens=64)


def read(model: LoadedModel, document: list[int]) -> Engine:
    made = engine(model)
    list(made.read(document))
    return made


@pytest.mark.parametrize("cut", [0, 100, 256, 300])
def test_an_answer_does_not_depend_on_how_its_prompt_was_read(model: LoadedModel, cut: int) -> None:
    tokens = answered(read(model, DOCUMENT[:cut]), DOCUMENT[cut:] + QUESTION, 20)
    context = Context(model.model, SPARSE, 400, chunk_tokens=1 << 20)
    expected = [int(context.next_logits(DOCUMENT + QUESTION).argmax())]
    while len(expected) < 20:
        expected.append(int(context.decode(expected[-1]).argmax()))
    assert 256 not in expected and tokens == expected
    assert len(set(tokens)) > 3


def test_a_question_leaves_no_trace(model: LoadedModel) -> None:
    made = read(model, DOCUMENT)
    first = answered(made, QUESTION, 12)
    list(made.answer([9, 9, 9, 200, 9] * 20, 12))
    interrupted = made.answer([5, 6], 12)
    next(interrupted)
    interrupted.close()
    assert answered(made, QUESTION, 12) == first


def test_events_of_reading_and_answering(model: LoadedModel) -> None:
    made = engine(model)
    assert list(made.read(DOCUMENT)) == [PrefillProgress(done, 300) for done in (0, 64, 128, 192, 256, 296, 300)]
    *events, done = made.answer(QUESTION, 5)
    assert isinstance(done, Done)
    assert (done.question_tokens, done.completion_tokens <= 5) == (5, True)
    assert all(isinstance(event, PrefillProgress | Token) for event in events)


def test_one_token_question_and_empty_document(model: LoadedModel) -> None:
    made = engine(model)
    assert list(made.read([])) == [PrefillProgress(0, 0)]
    assert isinstance(list(made.answer([65], 3))[-1], Done)


def test_a_token_that_ends_answers_ends_this_one(model: LoadedModel) -> None:
    likeliest = answered(read(model, DOCUMENT), QUESTION, 4)
    assert likeliest[3] not in likeliest[:3]
    stopping = LoadedModel(
        model.name, model.model, frozenset({likeliest[3]}), model.reference, model.implementation, model.because, None
    )
    done = list(read(stopping, DOCUMENT).answer(QUESTION, 20))[-1]
    assert isinstance(done, Done)
    assert (done.finish_reason, done.completion_tokens) == ("stop", 3)


def test_a_seed_repeats_an_answer_and_another_does_not(model: LoadedModel) -> None:
    answers = []
    for seed in (1, 1, 2):
        made = engine(model, Sampling(temperature=5.0, top_p=0.99, seed=seed))
        list(made.read(DOCUMENT))
        answers.append(answered(made, QUESTION, 20))
    assert answers[0] == answers[1] != answers[2]


def test_out_of_memory_is_said_with_its_place(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made = read(model, DOCUMENT)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(Decoder, "next_logits", full)
    with pytest.raises(HipError, match="after 296 prompt tokens") as caught:
        list(made.answer(QUESTION, 5))
    assert caught.value.exit_code == ExitCode.DOES_NOT_FIT


def said(monkeypatch: pytest.MonkeyPatch, made: Engine, tokens: list[int]) -> tuple[str, Done]:
    """The text and the end of an answer of these tokens."""
    left = iter(tokens)
    monkeypatch.setattr("hipcli.engine.engine.Chooser", lambda *_: lambda *_: next(left))
    *events, done = made.answer(QUESTION, len(tokens))
    assert isinstance(done, Done)
    return "".join(event.text for event in events if isinstance(event, Token)), done


@pytest.mark.parametrize("text", ["7", "No.", "Yes, it was the mill.", "ééééé", "a" * 15])
def test_text_comes_out_whole(model: LoadedModel, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    tokens = list(text.encode())
    for ended in (tokens, [*tokens, 256]):
        assert said(monkeypatch, engine(model), ended)[0] == text


@pytest.mark.parametrize(
    ("tokens", "fault"),
    [
        ([256], "the answer is empty"),
        ([32, 10, 32, 256], "the answer is empty"),
        ([45] * 60, "the answer is one token over and over"),
        ([33] * 20 + [256], "the answer is one token over and over"),
        ([0xFF] * 5, "the answer is replacement characters, not text"),
    ],
)
def test_of_what_is_no_answer_nothing_is_said(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, tokens: list[int], fault: str
) -> None:
    text, done = said(monkeypatch, engine(model), tokens)
    assert (text, done.fault) == ("", fault)


def test_an_answer_that_loops_is_stopped(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text, done = said(monkeypatch, engine(model), list(b"It is. " * 100))
    assert (done.finish_reason, done.fault, done.completion_tokens, len(text)) == ("repetition", None, 98, 98)


def test_only_what_comes_after_the_documents_is_a_question(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(model)
    seen: list[tuple[int, bool]] = []
    hidden = Decoder.hidden

    def watched(self: Decoder, ids: torch.Tensor, cache: object, step: Step) -> torch.Tensor:
        seen.append((step.count, step.question))
        return hidden(self, ids, cache, step)  # type: ignore[arg-type]

    monkeypatch.setattr(Decoder, "hidden", watched)
    list(made.read(DOCUMENT[:130]))
    answered(made, QUESTION * 20, 2)
    # Two tokens of the document are read with the question: they end a query block that the question begins.
    assert seen == [(64, False), (64, False), (64, True), (38, True), (1, False)]


def test_tokens_that_the_weights_do_not_know_are_an_error(model: LoadedModel) -> None:
    context = Context(model.model, SPARSE)
    list(context.fill([1, 259]))
    said = "token 260 is beyond the 260 that the weights know: the model's tokenizer and weights do not belong together"
    for read in (
        lambda: list(context.fill([3, 260, 2])),
        lambda: context.next_logits([260]),
        lambda: context.decode(260),
    ):
        with pytest.raises(HipError, match=said):
            read()
    assert context.length == 2


def test_a_cache_that_was_not_filled_is_an_error(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made = read(model, DOCUMENT)
    monkeypatch.setattr(Decoder, "next_logits", lambda *_: torch.zeros(1, 260))
    with pytest.raises(HipError, match="keys and values are not those of the text"):
        list(made.answer(QUESTION, 5))
