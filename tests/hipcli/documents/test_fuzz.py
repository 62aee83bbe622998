"""A few of the damaged files that tests/fuzz makes, and what others of them have found.

Each must be read or refused, and no reader may fail on it.
"""

from collections.abc import Iterator

import pypdfium2
import pytest
from fuzz.campaign import Inputs
from fuzz.seeds import SEEDS
from fuzz.targets import Target, documents, is_finding
from office_files import compound_file, docx, package, paragraph

from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pdf.fake_bold import Character, characters

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


class TestFound:
    def test_a_part_of_an_office_file_without_a_name(self, read: Target) -> None:
        data = docx(paragraph("text"), parts={"@@@": "x"}).replace(b"@@@", b"\0@@")
        assert read("docx", data).end == "read"

    def test_a_damaged_member_that_would_tell_the_format(self, read: Target) -> None:
        data = package({"mimetype": "application/epub+zip" * 50})
        first = data.index(b"mimetype") + len("mimetype")
        outcome = read("zip", data[:first] + b"\xff" + data[first + 1 :])
        assert outcome.end == "refused" and outcome.detail.startswith("is damaged (Error -3 while decompressing")

    def test_storages_in_each_other(self, read: Target) -> None:
        data = bytearray(compound_file("A"))
        root, stream = 1024, 1024 + 128
        data[root + 66] = 1  # a storage
        data[stream + 68 : stream + 72] = bytes(4)  # beside the stream there is the root
        outcome = read("doc", bytes(data))
        assert (outcome.end, outcome.detail) == ("refused", "is a damaged office file")

    def test_an_encoding_of_two_lines(self, read: Target) -> None:
        assert read("html", '<meta charset="a\nb"><p>café'.encode()).end == "read"

    def test_a_message_with_a_header_in_a_header(self, read: Target) -> None:
        data = b"Subject: One\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"
        outcome = read("eml", data + b"Subject: a\x0cX-Other: b\n\ntext\n--b--\n")
        assert outcome.end == "refused" and outcome.detail.endswith("holds a message that is damaged")

    def test_no_character_and_no_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class TextPage(pypdfium2.PdfTextPage):  # type: ignore[misc]
            raw = None

            def __init__(self) -> None:
                pass

            def count_chars(self) -> int:
                return 1

            def get_charbox(self, index: int, loose: bool) -> tuple[float, float, float, float]:
                return 0.0, float("nan"), 1.0, 1.0

        for number in (0x110000, 0xFFFFFFFF):
            monkeypatch.setattr("pypdfium2.raw.FPDFText_GetUnicode", lambda page, index, number=number: number)
            assert list(characters(TextPage())) == [Character("\ufffd", 0.0, 0.0, 0.0, 0.0)]
