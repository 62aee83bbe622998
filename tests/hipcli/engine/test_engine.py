"""The engine on a tiny random model: the same tokens as `generate`, whatever was asked before."""

import pytest
import torch
from hip_attention.transformers import HipCache, attach_rotary
from small_engine import DOCUMENT, QUESTION, SPARSE, Bytes, random_llama

from hipcli.engine.engine import Chooser, Engine, Sampling, TextStream
from hipcli.engine.events import Done, PrefillProgress, Token
from hipcli.engine.loops import repeats
from hipcli.errors import HipError
from hipcli.models.packing import PackedLinear, pack_linear_layers


@pytest.fixture
def model():
    return random_llama()


def engine(model, **options) -> Engine:
    made = Engine(model, Bytes(), SPARSE, capacity=400, **options)
    made._chunk = 64
    return made


def chosen(made: Engine, question: list[int], count: int, monkeypatch) -> list[int]:
    """The tokens of an answer, seen where they are pushed to the text."""
    tokens: list[int] = []
    push = TextStream.push
    monkeypatch.setattr(TextStream, "push", lambda self, token: tokens.append(token) or push(self, token))
    list(made.answer(question, count))
    monkeypatch.undo()
    return tokens


def generated(model, count: int) -> list[int]:
    attach_rotary(model)
    model.config.hip = SPARSE
    ids = torch.tensor([DOCUMENT + QUESTION])
    return model.generate(
        ids, past_key_values=HipCache(model.config), max_new_tokens=count, do_sample=False, eos_token_id=256
    )[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("cut", [0, 100, 256, 300])
def test_answers_equal_generate_token_by_token(model, monkeypatch, cut: int) -> None:
    made = engine(model)
    list(made.read(DOCUMENT[:cut]))
    tokens = chosen(made, DOCUMENT[cut:] + QUESTION, 20, monkeypatch)
    expected = generated(model, 20)
    assert tokens == [token for token in expected if token != 256]
    assert len(set(tokens)) > 3


def test_a_question_leaves_no_trace(model, monkeypatch) -> None:
    made = engine(model)
    list(made.read(DOCUMENT))
    first = chosen(made, QUESTION, 12, monkeypatch)
    list(made.answer([9, 9, 9, 200, 9] * 20, 12))
    interrupted = made.answer([5, 6], 12)
    next(interrupted)
    interrupted.close()
    assert chosen(made, QUESTION, 12, monkeypatch) == first


def test_events_of_reading_and_answering(model) -> None:
    made = engine(model)
    assert list(made.read(DOCUMENT)) == [PrefillProgress(done, 300) for done in (0, 64, 128, 192, 256, 296, 300)]
    events = list(made.answer(QUESTION, 5))
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.question_tokens, done.completion_tokens <= 5) == (5, True)
    assert all(isinstance(event, (PrefillProgress, Token)) for event in events[:-1])


def test_one_token_question_and_empty_document(model) -> None:
    made = engine(model)
    assert list(made.read([])) == [PrefillProgress(0, 0)]
    assert isinstance(list(made.answer([65], 3))[-1], Done)


def test_stop_token_ends_the_answer(model) -> None:
    made = engine(model)
    made._stop = set(range(260))
    list(made.read(DOCUMENT))
    done = list(made.answer(QUESTION, 5))[-1]
    assert (done.finish_reason, done.completion_tokens) == ("stop", 0)


def test_a_seed_repeats_an_answer_and_another_does_not(model, monkeypatch) -> None:
    answers = []
    for seed in (1, 1, 2):
        made = engine(model, sampling=Sampling(temperature=5.0, top_p=0.99, seed=seed))
        list(made.read(DOCUMENT))
        answers.append(chosen(made, QUESTION, 20, monkeypatch))
    assert answers[0] == answers[1] != answers[2]


def test_nucleus_keeps_the_likeliest_only() -> None:
    logits = torch.tensor([[5.0, 4.9, -9.0, -9.0]])
    choose = Chooser(Sampling(temperature=1.0, top_p=0.9, seed=0), torch.device("cpu"))
    assert {choose(logits) for _ in range(50)} == {0, 1}


def test_numbers_that_are_none_are_an_error() -> None:
    choose = Chooser(Sampling(), torch.device("cpu"))
    with pytest.raises(HipError, match="no usable numbers"):
        choose(torch.tensor([[float("nan"), 1.0]]))


def test_out_of_memory_is_said_with_its_place(model, monkeypatch) -> None:
    made = engine(model)
    list(made.read(DOCUMENT))

    def full(*_, **__):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(model.get_decoder(), "forward", full)
    with pytest.raises(HipError, match="after 296 prompt tokens") as caught:
        list(made.answer(QUESTION, 5))
    assert caught.value.exit_code == 3


def test_text_never_shows_half_a_character() -> None:
    stream = TextStream(Bytes())
    pieces = [stream.push(byte) for byte in "aé€😀b".encode()]
    assert "".join(pieces) == "aé€😀b"
    assert all("\ufffd" not in piece for piece in pieces)
    assert pieces[1] == ""
    stream.push(0xE2)
    assert stream.flush() == "\ufffd"


def test_packed_layers_compute_the_same() -> None:
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.Linear(96, 32, bias=False)).bfloat16()
    packed = torch.nn.Sequential(*plain)
    pack_linear_layers(packed)
    if not isinstance(packed[0], PackedLinear):
        pytest.skip("this build of torch or this processor packs nothing")
    for shape in ((1, 64), (1, 7, 64), (2, 300, 64)):
        x = torch.randn(shape).bfloat16()
        with torch.inference_mode():
            torch.testing.assert_close(packed(x), plain(x))


def test_float32_layers_are_left_alone() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 8))
    pack_linear_layers(model)
    assert type(model[0]) is torch.nn.Linear


def test_a_passage_said_four_times_is_a_loop() -> None:
    story = list(range(1000))
    passage = [7, 8, 9] * 10
    assert repeats([*story, *passage * 4])
    assert repeats([*story, *[5] * 96])
    assert not repeats([*story, *[5] * 95])
    assert not repeats([*story, *story[:60] * 3])
    assert not repeats([*passage * 4, 1])
    assert not repeats([])


def test_an_answer_that_loops_is_stopped(model) -> None:
    made = engine(model)
    list(made.read(DOCUMENT))
    torch.nn.init.zeros_(model.lm_head.weight)
    done = list(made.answer(QUESTION, 200))[-1]
    assert (done.finish_reason, done.completion_tokens) == ("repetition", 96)


def test_only_what_comes_after_the_documents_is_a_question(model, monkeypatch) -> None:
    made = engine(model)
    seen = []
    forward = made._forward

    def watched(ids, **options):
        seen.append(made._cache.layers[0].cache.question)
        return forward(ids, **options)

    monkeypatch.setattr(made, "_forward", watched)
    list(made.read(DOCUMENT[:128]))
    list(made.answer(QUESTION, 2))
    assert seen == [False, False, True, False]
    answer = made.answer(QUESTION, 5)
    next(answer)
    answer.close()
    assert not made._cache.layers[0].cache.question
