"""Answers on standard output and in files."""

import io
import json
import sys
from pathlib import Path

import pytest

from hipcli.errors import HipError
from hipcli.output.answers import AnswerWriter, Output, write_json


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_control_characters_are_removed_for_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((Terminal(), "a[1mb"), (io.StringIO(), "a\x1b[1mb")):
        monkeypatch.setattr(sys, "stdout", stream)
        with Output() as output:
            output.write("a\x1b[1mb")
        assert stream.getvalue() == expected


def test_an_interrupted_line_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(KeyboardInterrupt), Output() as output:
        output.write("half a sen")
        raise KeyboardInterrupt
    assert stream.getvalue() == "half a sen\n"


def test_a_broken_pipe_is_not_written_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        calls = 0

        def write(self, text: str) -> int:
            self.calls += 1
            if self.calls > 1:
                raise BrokenPipeError
            return len(text)

    stream = Broken()
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(BrokenPipeError), Output() as output:
        output.write("one")
        output.write("two")
    assert stream.calls == 2


def test_each_answer_is_written_below_its_title(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with Output() as output:
        for title, pieces in (("A\nB?", ["\n", "  one", " two\n"]), ("C?", []), ("D?", ["four"])):
            writer = AnswerWriter(output, title)
            for piece in pieces:
                writer.write(piece)
            writer.end()
    assert stream.getvalue() == "## A B?\n\none two\n\n## C?\n\n\n## D?\n\nfour\n"


def test_text_is_kept_without_an_output() -> None:
    writer = AnswerWriter(None, None)
    for piece in (" ", "\none", " two ", "\n"):
        writer.write(piece)
    writer.end()
    assert writer.text == "one two"


def test_an_unfinished_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(KeyboardInterrupt), Output(path) as output:
        output.write("half")
        assert not path.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with Output(path) as output:
        output.write("whole é\n")
    assert path.read_bytes() == "whole é\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_stays_where_nothing_was_written(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with Output(path):
        pass
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with Output(tmp_path / "link") as output:
        output.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HipError, match="Is a directory"):
        Output(tmp_path)


def test_json_is_valid_for_any_file_name_and_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("utf-8", "latin-1", "ascii"):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        value = {"path": "caf\udce9 \x1b", "text": "漢 é"}
        with Output() as output:
            write_json(output, value)
        assert json.loads(raw.getvalue().decode(encoding)) == value
        assert raw.getvalue().endswith(b"}\n")
        assert ("漢".encode() in raw.getvalue()) == (encoding == "utf-8")
