"""The patterns of a .gitignore: which paths they match, as git has it, and how long that takes."""

import random
import time
from pathlib import Path

import pytest
from against_git import git, needs_git, random_path, random_pattern

from hipcli.documents.gitignore import Patterns


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern matches a path; that of a directory ends in a slash."""
    return Patterns([pattern.encode()]).last_match(path.rstrip("/").encode(), path.endswith("/")) == 0


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a", ["a", "a/", "x/a"], ["ab", "b", "a/b"]),
        ("/a", ["a", "a/"], ["x/a"]),
        ("a/", ["a/", "x/a/"], ["a", "x/a"]),
        ("a/b", ["a/b"], ["x/a/b", "b", "a/b/c"]),
        ("*.log", [".log", "a.log", "x/a.log"], ["a.log.x", "alog"]),
        ("*a*b", ["ab", "xaxbxb", "x/ayb"], ["abx", "ba"]),
        ("*ab*ab", ["abab", "xabxab"], ["ab", "aab"]),
        ("/*/b", ["a/b"], ["b", "a/c/b"]),
        ("a?c", ["abc"], ["ac", "abbc", "aéc"]),
        ("a??c", ["aéc"], []),
        ("**/b", ["b", "a/b", "a/c/b"], ["ab", "a/cb"]),
        ("1/2", ["1/2"], []),
        ("a/**", ["a/b", "a/b/c"], ["a", "a/"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "x/a/b"]),
        ("**/a*b/c/**/d", ["ab/c/d", "x/ab/y/axb/c/z/d"], ["ab/x/c/d"]),
        ("x/a**b", ["x/ab", "x/aab"], ["x/a/b"]),
        ("[a-cx]", ["b", "x"], ["d", "-"]),
        ("[!a-c]", ["d", "]"], ["b"]),
        ("[]-]", ["]", "-"], ["a"]),
        ("[[:digit:][:upper:]]", ["1", "A"], ["a", ":"]),
        ("[^/]", ["a"], ["ab", "x/a"]),
        ("[z-a]", ["z"], ["a", "b"]),
        ("\\!a", ["!a"], ["a"]),
        ("\\#", ["#"], []),
        ("\\*", ["*"], ["a"]),
        ("a\\ ", ["a "], ["a"]),
        ("a  ", ["a"], ["a  "]),
        ("a\t", ["a\t"], ["a"]),
    ],
)
def test_pattern(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [path for path in yes + no if matches(pattern, path)] == yes


@pytest.mark.parametrize("line", ["", "#a", "!", "/", "//", "[", "a[b", "[[:x:]]", "a\\", " "])
def test_line_that_matches_nothing(line: str) -> None:
    assert len(Patterns([line.encode()])) == 0


def test_last_pattern_decides() -> None:
    patterns = Patterns([b"*.log", b"# why", b"!keep.*", b"keep.log/"])
    assert [patterns.verdict(path, False) for path in (b"a.log", b"keep.log", b"b")] == [True, False, None]
    assert patterns.verdict(b"keep.log", True) is True


def test_file_with_byte_order_mark_and_any_ends_of_lines() -> None:
    patterns = Patterns.from_file(b"\xef\xbb\xbfa\r\nb \r\n\r\n#c\nd\re\nf\r")
    found = [name for name in (b"a", b"b", b"c", b"d\re", b"f", b"") if patterns.verdict(name, False)]
    assert found == [b"a", b"b", b"d\re", b"f"]


def test_ignoring_case() -> None:
    assert Patterns([b"README.[a-m]*"], ignore_case=True).verdict(b"readme.MD", False)
    assert Patterns([b"README.[a-m]*"]).verdict(b"readme.MD", False) is None


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (b"*a" * 8 + b"*b", b"a" * 60),
        (b"*a" * 2000 + b"*b", b"a" * 255),
        (b"*[ab]*?" * 1000 + b"c", b"a" * 255),
        (b"**/a/" * 1000 + b"b", b"/".join([b"a"] * 2000)),
        (b"**/*a*a/" * 100 + b"b", b"/".join([b"a" * 40] * 100)),
        (b"**/" + b"*a/" * 300 + b"b", b"/".join([b"a"] * 2000)),
        (b"[[:" * 100_000 + b"]", b"a"),
    ],
)
def test_time_does_not_explode(pattern: bytes, path: bytes) -> None:
    start = time.process_time()
    assert Patterns([pattern]).verdict(path, False) is None
    assert time.process_time() - start < 2


@needs_git
@pytest.mark.parametrize("seed", range(3))
def test_same_line_decides_as_in_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    chance = random.Random(seed)
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "-q")
    paths = {random_path(chance) for _ in range(300)}
    paths -= {parent for path in paths for parent in _above(path)}
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    names = sorted(paths | {parent for path in paths for parent in _above(path)})
    decided = 0
    for _ in range(40):
        lines = [random_pattern(chance) for _ in range(chance.choice([1, 1, 3]))]
        (folder / ".gitignore").write_bytes("\n".join(lines).encode())
        asked = b"".join(name.encode() + b"\0" for name in names)
        fields = git(folder, "check-ignore", "--no-index", "-v", "-n", "-z", "--stdin", stdin=asked).split(b"\0")
        for line, path in zip(fields[1::4], fields[3::4], strict=False):
            assert _deciding_line(lines, path.decode(), folder) == int(line or 0), (lines, path)
            decided += line != b""
    assert decided > 500


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _deciding_line(lines: list[str], path: str, folder: Path) -> int:
    """The number of the line that decides on a path, or on the first folder in it that is ignored; or 0."""
    every = [Patterns.from_file(line.encode()) for line in lines]
    for part in [*_above(path), path]:
        directory = (folder / part).is_dir()
        found = [i for i, patterns in enumerate(every, 1) if patterns.verdict(part.encode(), directory) is not None]
        if found and (part == path or every[found[-1] - 1].verdict(part.encode(), directory)):
            return found[-1]
    return 0
