"""A few of the damaged files that tests/fuzz makes: each must be read or refused, and no reader may fail on it."""

from collections.abc import Iterator

import pytest
from fuzz.campaign import Inputs
from fuzz.seeds import SEEDS
from fuzz.targets import Target, documents, is_finding

from hipcli.documents.options import ReadOptions

KINDS = [kind for kind in SEEDS if kind != "gguf"]


@pytest.fixture(scope="module")
def read() -> Iterator[Target]:
    with documents(ReadOptions(seconds=30, memory=512, ocr="off")) as target:
        yield target


def test_what_is_damaged_can_be_read_before(read: Target) -> None:
    ends = {kind: {read(kind, data).end for data in SEEDS[kind]()} for kind in KINDS}
    # Beside documents there are files that are none, and formats that are refused by name.
    expected = {kind: {"read"} for kind in KINDS} | {
        "doc": {"refused", "skipped"},
        "zip": {"skipped"},
        "tar": {"skipped"},
    }
    assert ends == expected | {"gz": {"read", "skipped"}}


def test_no_reader_fails(read: Target) -> None:
    found = {}
    for kind in KINDS:
        inputs = Inputs(kind, seed=1)
        sound = inputs.sound()
        for number in range(25):
            outcome = read(kind, inputs.damaged(sound, number))
            if is_finding(kind, outcome):
                found[f"{kind}:{number}"] = outcome
    assert found == {}


def test_damage_follows_from_the_number() -> None:
    first, again, other = Inputs("html", seed=1), Inputs("html", seed=1), Inputs("html", seed=2)
    sound = first.sound()
    assert first.damaged(sound, 7) == again.damaged(sound, 7)
    assert len({inputs.damaged(sound, number) for inputs in (first, other) for number in range(5)}) == 10
