"""Answers on standard output and in files."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from hipcli.errors import HipError
from hipcli.output.answers import AnswerWriter, Output, write_json


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_escapes_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((Terminal(), r"a\x1b[1m\x00"), (io.StringIO(), "a\x1b[1m\ufffd")):
        monkeypatch.setattr(sys, "stdout", stream)
        with Output() as output:
            output.write("a\x1b")
            output.write("[1m\0")
        assert stream.getvalue() == expected


def test_what_waits_for_the_next_piece_is_written_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    with Output() as output:
        for piece in ("one\r", "\ntwo\r"):
            output.write(piece)
        output.end_line()
        output.write("three\r")
    assert stream.getvalue() == "one\r\ntwo\\r\nthree\\r"


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


def test_a_device_is_written_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with Output(fifo) as output:
        output.write("é\ud800\n")
    assert os.read(reader, 100) == "é\ufffd\n".encode()
    os.close(reader)
    assert fifo.is_fifo()


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_a_descriptor_is_written_to_where_it_stands(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"before\n")
    path = Path(name.format(descriptor))
    if name == "link":
        path = tmp_path / "link"
        path.symlink_to(f"/dev/fd/{descriptor}")
    with Output(path) as output:
        output.write("answer\n")
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert file.read_text() == "before\nanswer\nafter\n"


def test_a_dash_is_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Output(Path("-")) as output:
        output.write("answer\n")
    assert capsys.readouterr().out == "answer\n"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_names_the_file() -> None:
    with pytest.raises(HipError) as info, Output(Path("/dev/full")) as output:
        output.write("answer\n")
    assert (info.value.message, info.value.exit_code) == ("/dev/full: No space left on device", 1)


def test_an_interrupt_is_not_hidden_by_a_failure_to_close() -> None:
    with pytest.raises(KeyboardInterrupt), Output(Path("/dev/full")) as output:
        output._stream.write("half")
        raise KeyboardInterrupt


def test_json_is_valid_for_any_file_name_and_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("utf-8", "latin-1", "ascii"):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        value = {"path": "caf\udce9\uffff \x1b", "text": "漢 é"}
        with Output() as output:
            write_json(output, value)
        assert json.loads(raw.getvalue().decode(encoding)) == value
        assert raw.getvalue().endswith(b"}\n")
        assert ("漢".encode() in raw.getvalue()) == (encoding == "utf-8")


def test_json_on_a_terminal_is_valid_and_steers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    value = {"path": "caf\udce9\uffff", "text": "\x1b\x7f\x9b\u202e\u200b\U000e0041 漢 é"}
    with Output() as output:
        write_json(output, value)
    assert json.loads(stream.getvalue()) == value
    assert all(character in "\n漢é" or " " <= character <= "~" for character in stream.getvalue())
