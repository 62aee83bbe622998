"""A conversation on a tiny random model: every token is sent once, whatever ended the answers before it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest
import torch
from hip_attention import HipConfig
from hip_attention.cache.cache import Cache
from hip_attention.cache.step import Step
from small_engine import DOCUMENT, SPARSE, Bytes, random_llama

from hipcli.disk.session_header import Basis, KeptDocument
from hipcli.disk.sessions import Session, open_session
from hipcli.engine.conversation import Conversation, Full
from hipcli.engine.engine import Engine
from hipcli.engine.events import Done, FinishReason
from hipcli.engine.resume import read
from hipcli.errors import HipError
from hipcli.models.decoder import Decoder

PACKED = replace(SPARSE, packed_from=128)
DENSE = HipConfig(backend="dense")
KINDS = pytest.mark.parametrize(
    ("config", "int8"), [(SPARSE, False), (SPARSE, True), (PACKED, False), (PACKED, True), (DENSE, False)]
)


def encode(question: str, follows: bool) -> list[int]:
    return [*([256, 10] if follows else []), *question.encode(), 63]


def engine(config: HipConfig = SPARSE, int8: bool = False) -> Engine:
    return Engine(random_llama(), Bytes(), config, capacity=500, int8=int8, chunk_tokens=64)


def conversation(config: HipConfig = SPARSE, int8: bool = False, capacity: int = 500) -> Conversation:
    made = Conversation(engine(config, int8), DOCUMENT, capacity, encode)
    list(made.begin())
    return made


def said(made: Conversation, question: str, tokens: int, stopped: Callable[[], bool] = lambda: False) -> Done:
    done = list(made.ask(question, tokens, stopped))[-1]
    assert isinstance(done, Done)
    return done


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every token that goes through the model from now on."""
    hidden, tokens = Decoder.hidden, []

    def watched(self: Decoder, ids: torch.Tensor, cache: Cache, step: Step) -> torch.Tensor:
        tokens.extend(ids.tolist())
        return hidden(self, ids, cache, step)

    monkeypatch.setattr(Decoder, "hidden", watched)
    return tokens


def likeliest(logits: torch.Tensor, produced: object = ()) -> int:
    """The likeliest token that is a letter or the like; left to itself this model says 256, which ends answers."""
    return 32 + int(logits[:, 32:127].argmax())


@pytest.fixture(autouse=True)
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hipcli.engine.engine.Chooser", lambda *_: likeliest)


@contextmanager
def ends_after(count: int) -> Iterator[None]:
    """The model says that its answer is over after `count` tokens."""
    with pytest.MonkeyPatch.context() as patch:
        left = iter(range(count + 1))
        choose = lambda logits, *_: likeliest(logits) if next(left) < count else 256  # noqa: E731
        patch.setattr("hipcli.engine.engine.Chooser", lambda *_: choose)
        yield


def a_while(made: Conversation) -> list[FinishReason]:
    """Four turns, whose answers end in each of the ways."""
    calls = iter(range(100))
    reasons = [said(made, "Who was it?", 7).finish_reason]
    with ends_after(5):
        reasons.append(said(made, "And why?", 20).finish_reason)
    reasons.append(said(made, "Where?", 20, lambda: next(calls) == 6).finish_reason)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hipcli.engine.engine.repeats", lambda produced: len(produced) == 9)
        reasons.append(said(made, "When?", 20).finish_reason)
    return reasons


@KINDS
def test_every_token_is_sent_once(sent: list[int], config: HipConfig, int8: bool) -> None:
    made = conversation(config, int8)
    assert sent == DOCUMENT, "the last, incomplete query block, too"
    assert a_while(made) == ["length", "stop", "interrupted", "repetition"]
    said(made, "Well?", 4)
    assert sent == made.ids[: made.reader.length]
    assert [len(turn.said) for turn in made.turns] == [7, 5, 6, 9, 4]
    expected = list(DOCUMENT)
    for number, turn in enumerate(made.turns):
        assert (turn.start, turn.asked) == (len(expected), tuple(encode(turn.question, number > 0)))
        expected += [*turn.asked, *turn.said]
    assert made.ids == expected
    assert made.room == 500 - len(expected)


def test_answers_are_those_of_the_whole_text_read_at_once() -> None:
    made = conversation(DENSE)
    a_while(made)
    last = said(made, "Well?", 8)
    once = engine(DENSE)
    list(once.read([]))
    turn = made.turns[-1]
    (*_, done) = once.answer([*made.ids[: turn.start], *turn.asked], 8)
    assert isinstance(done, Done)
    assert last.tokens == done.tokens and len(set(done.tokens)) > 3


@KINDS
def test_a_turn_that_is_taken_back_leaves_no_trace(config: HipConfig, int8: bool) -> None:
    made, other = conversation(config, int8), conversation(config, int8)
    for one in (made, other):
        said(one, "Who was it?", 7)
    said(made, "A long question about something else that takes more than a block", 20)
    assert made.undo().question.startswith("A long")
    assert said(made, "And why?", 12) == replace(said(other, "And why?", 12), prefill_s=any_s(), decode_s=any_s())
    assert equal(made, other)
    assert len(made.turns) == 2
    made.undo()
    made.undo()
    assert (made.ids, made.reader.length) == (DOCUMENT, 300)
    with pytest.raises(IndexError):
        made.undo()


class any_s(float):
    """A duration that equals every other."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = float.__hash__


def equal(one: Conversation, other: Conversation) -> bool:
    assert one.ids == other.ids and one.reader.length == other.reader.length
    length = one.reader.length
    pairs = zip(one.reader.export(0, length), other.reader.export(0, length), strict=True)
    return all(a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a) for a, b in pairs)


def test_all_turns_forgotten_keep_the_documents(sent: list[int]) -> None:
    made, fresh = conversation(), conversation()
    a_while(made)
    made.forget()
    sent.clear()
    for one in (made, fresh):
        said(one, "Who was it?", 7)
    assert sent == [*made.ids[300:-1], *fresh.ids[300:-1]], "no token of the documents"
    assert equal(made, fresh)


def test_the_oldest_turns_dropped_read_the_others_again_and_no_document(sent: list[int]) -> None:
    made = conversation()
    a_while(made)
    kept = made.turns[2:]
    sent.clear()
    made.drop(2)
    assert made.reader.length == 300
    list(made.catch_up())
    assert sent == made.ids[300:] == [
        *encode("Where?", False), *kept[0].said, *encode("When?", True), *kept[1].said
    ]  # fmt: skip
    assert [(turn.question, turn.answer) for turn in made.turns] == [(turn.question, turn.answer) for turn in kept]
    said(made, "Well?", 4)
    assert sent == made.ids[300 : made.reader.length]


def test_a_question_without_room_is_refused_and_changes_nothing(sent: list[int]) -> None:
    made = conversation(capacity=400)
    said(made, "Who was it?", 20)
    before, length = list(made.ids), made.reader.length
    sent.clear()
    with pytest.raises(Full, match="the question takes 43 tokens, 68 are left"):
        said(made, "q" * 40, 50)
    assert (made.ids, made.reader.length, sent) == (before, length, [])
    done = said(made, "q" * 30, 50)
    assert (done.finish_reason, len(done.tokens), made.room) == ("length", 35, 0)


def test_an_answer_that_is_none_is_forgotten() -> None:
    made, other = conversation(), conversation()
    with ends_after(0):
        assert said(made, "Who?", 5).fault == "the answer is empty"
    assert (made.turns, made.ids) == ([], DOCUMENT)
    for one in (made, other):
        said(one, "Who was it?", 7)
    assert equal(made, other)


def test_an_interrupt_in_the_middle_of_a_layer_takes_the_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made, other = conversation(), conversation()
    for one in (made, other):
        said(one, "Who was it?", 7)
    attend, calls = Cache.attend, iter(range(1000))

    def interrupted(self: Cache, *arguments: object, **options: object) -> torch.Tensor:
        if next(calls) == 10:
            raise KeyboardInterrupt
        return attend(self, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Cache, "attend", interrupted)
        said(made, "And why?", 12)
    for one in (made, other):
        said(one, "Where?", 12)
    assert equal(made, other)


def session(config: HipConfig) -> Session:
    return open_session("book", DOCUMENT, [KeptDocument("book.txt")], Basis("tiny", "r1", "float32", asdict(config)))


def resumed(kept: Session, config: HipConfig, int8: bool) -> Conversation:
    reader = engine(config, int8)
    read(reader, DOCUMENT, kept, lambda *_: None, lambda text: None, hold=True)
    stored = kept.conversation()
    for snapshot in stored.load():
        reader.restore(snapshot)
    made = Conversation(reader, DOCUMENT, 500, encode)
    list(made.begin(stored.turns, stored.length))
    return made


@KINDS
def test_it_goes_on_tomorrow_to_the_same_numbers(sent: list[int], config: HipConfig, int8: bool) -> None:
    other = conversation(config, int8)
    with session(config) as kept:
        made = resumed(kept, config, int8)
        store = kept.conversation()
        store.save(made.turns, made.reader.length, made.reader.export)
        for number in range(3):
            said(made, f"Question {number}?", 7)
            store.save(made.turns, made.reader.length, made.reader.export)
        made.undo()
        store.save(made.turns, made.reader.length, made.reader.export)
    sent.clear()
    with session(config) as kept:
        made = resumed(kept, config, int8)
    assert sent == [], "not even the end of the documents"
    for number in range(2):
        said(other, f"Question {number}?", 7)
    assert made.turns == other.turns
    for one in (made, other):
        said(one, "Another?", 7)
    assert equal(made, other)


def test_turns_without_room_today_are_refused() -> None:
    made = conversation()
    a_while(made)
    small = Conversation(engine(), DOCUMENT, 320, encode)
    with pytest.raises(Full, match="and there is room for 20"):
        list(small.begin(made.turns, made.reader.length))


def test_keys_and_values_that_are_missing_are_read(sent: list[int]) -> None:
    made = conversation()
    a_while(made)
    with session(SPARSE) as kept:
        resumed(kept, SPARSE, False)
        kept.conversation().save(made.turns, 300, made.reader.export)
        sent.clear()
        again = resumed(kept, SPARSE, False)
    assert again.ids == made.ids
    said(again, "Well?", 4)
    assert sent == again.ids[300 : again.reader.length]


def test_a_damaged_conversation_is_refused() -> None:
    with session(SPARSE) as kept:
        made = resumed(kept, SPARSE, False)
        said(made, "Who?", 7)
        kept.conversation().save(made.turns, made.reader.length, made.reader.export)
        folder = kept._folder
        (segment,) = folder.glob("turn-*")
        segment.write_bytes(segment.read_bytes()[:-1])
        with pytest.raises(HipError, match="session book: is damaged: turn-"):
            kept.conversation()
        (folder / "conversation.json").write_text("{}")
        with pytest.raises(HipError, match=r"session book: is damaged: conversation\.json"):
            kept.conversation()
        assert segment.is_file(), "and nothing is removed"
