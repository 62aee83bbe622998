"""Files of JSON lines: what they keep, and what they refuse to touch."""

import json
from pathlib import Path
from typing import Any

import pytest

from hipcli.errors import ExitCode, HipError
from hipcli.output.line_file import LineFile
from hipcli.output.result import SCHEMA_VERSION


def line(key: str, **answer: Any) -> str:
    document = {"path": f"{key}.txt", "status": "read"}
    given = {"fault": None, "text": key, **answer}
    return json.dumps({"schema_version": SCHEMA_VERSION, "key": key, "documents": [document], "answer": given}) + "\n"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def partial(out: Path) -> Path:
    return out.with_name("out.jsonl.partial")


def refused(out: Path, resume: bool) -> HipError:
    before = {path: path.read_bytes() for path in out.parent.iterdir()}
    with pytest.raises(HipError) as info:
        LineFile(out, resume)
    assert {path: path.read_bytes() for path in out.parent.iterdir()} == before
    assert info.value.exit_code == ExitCode.USAGE
    return info.value


def test_it_has_its_own_name_when_it_is_whole(out: Path) -> None:
    out.write_text("old")
    out.chmod(0o640)
    with LineFile(out, False) as file:
        file.write(line("a"))
        assert (out.read_text(), partial(out).read_text()) == ("old", line("a"))
    assert out.read_text() == line("a")
    assert out.stat().st_mode & 0o777 == 0o640
    assert not partial(out).exists()


def test_nothing_written_leaves_nothing(out: Path) -> None:
    with LineFile(out, False):
        pass
    with pytest.raises(RuntimeError), LineFile(out, True):
        raise RuntimeError
    assert list(out.parent.iterdir()) == []


def test_lines_of_both_files_are_kept_and_what_is_no_answer_is_not(out: Path) -> None:
    out.write_text(line("a") + line("b", fault="empty") + line("c")[:-1])
    none = json.dumps({"schema_version": SCHEMA_VERSION, "key": None, "documents": [], "answer": None}) + "\n"
    partial(out).write_text(line("a") + none + line("d") + line("torn")[:40])
    with LineFile(out, True) as file:
        assert [kept["key"] for kept in file.kept] == ["a", "c", "d"]
        assert partial(out).read_text() == line("a") + line("c") + line("d")
        file.write(line("e"))
    assert out.read_text() == line("a") + line("c") + line("d") + line("e")


@pytest.mark.parametrize(
    "text", ["name;year\n", "{}\n", "[1]\n", "\xff\n", '{"schema_version": 1, "answer": null}\n', "[" * 99_999 + "\n",
             json.dumps({"schema_version": SCHEMA_VERSION, "key": "a", "documents": [], "answer": {}}) + "\n"],
)  # fmt: skip
def test_what_it_has_not_written_is_not_touched(out: Path, text: str) -> None:
    out.write_bytes(line("a").encode() + text.encode("latin-1"))
    assert "line 2" in refused(out, True).message
    out.unlink()
    partial(out).write_bytes(text.encode("latin-1"))
    assert "line 1" in refused(out, True).message
    refused(out, False)


def test_one_run_at_a_time(out: Path) -> None:
    with LineFile(out, False) as first:
        first.write(line("a"))
        assert "another run" in refused(out, True).message
        assert "another run" in refused(out, False).message
        first.write(line("b"))
    assert out.read_text() == line("a") + line("b")
    with LineFile(out, True) as again:
        assert len(again.kept) == 2


def test_links_are_followed(out: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    out.symlink_to(tmp_path / "real/lines")
    with LineFile(out, True) as file:
        file.write(line("a"))
    assert out.is_symlink() and (tmp_path / "real/lines").read_text() == line("a")
