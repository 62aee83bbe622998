"""Where the answers of a run go: a file, a device, a pipe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakes import FakeRuntime

Run = Callable[..., Any]


def test_output_file_appears_when_all_went_well(hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    target.chmod(0o640)
    done = hip("summarize", "-o", target, note)
    assert (done.code, done.out) == (0, "")
    assert target.read_text() == "All is well.\n"
    assert target.stat().st_mode & 0o777 == 0o640
    fake.failure = RuntimeError("boom")
    assert hip("summarize", "-o", target, note).code == 1
    assert target.read_text() == "All is well.\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["note.txt", "out.txt"]


def test_output_may_be_a_device(hip: Run, fake: FakeRuntime, note: Path) -> None:
    assert hip("summarize", "-o", "/dev/null", note).code == 0
    assert not Path("/dev/null").is_file()


def test_output_in_a_missing_directory_is_refused_at_once(
    hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path
) -> None:
    done = hip("summarize", "-o", tmp_path / "no" / "out.txt", note)
    assert done.code == 2
    assert "No such file or directory" in done.err
    assert fake.loads == 0


def test_a_pipe_gets_the_answer_byte_for_byte(hip: Run, fake: FakeRuntime, note: Path) -> None:
    fake.pieces = ["red \x1b[31malert", "\x9b2J\a", "\ttab"]
    assert hip("summarize", note).out == "red \x1b[31malert\x9b2J\a\ttab\n"


def test_control_characters_in_names_never_reach_standard_error(hip: Run, fake: FakeRuntime, tmp_path: Path) -> None:
    done = hip("summarize", f"{tmp_path}/a\x1b[2J\nhip: error: b")
    assert done.code == 1
    assert "\x1b" not in done.err
    assert not any(line.startswith("hip: error: b") for line in done.err.splitlines())
