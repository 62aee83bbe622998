"""What git ignores, in the folders that are read: the same files as `git ls-files -co --exclude-standard` has."""

import os
import random
from pathlib import Path

import pytest
from against_git import git, needs_git, random_path, random_pattern
from read_paths import make_tree

from hipcli.documents.folders import walk
from hipcli.documents.git_index import tracked_paths
from hipcli.documents.options import ReadOptions


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own settings are, for git and for hip."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def below(root: Path, **options: object) -> list[str]:
    """Paths of the files that are to be read in a directory, relative to it."""
    found = list(walk(str(root), ReadOptions(**options)))  # type: ignore[arg-type]
    assert not [item for item in found if isinstance(item, OSError)], found
    return [os.path.relpath(item, root) for item in found if isinstance(item, str)]


def listed(root: Path) -> list[str]:
    """What git lists there, without hidden files and those that are gone."""
    paths = git(root, "ls-files", "-z", "-co", "--exclude-standard").split(b"\0")[:-1]
    shown = {os.fsdecode(path) for path in paths if not path.startswith(b".") and b"/." not in path}
    return sorted(path for path in shown if os.path.isfile(root / path))


def fake_repository(folder: Path) -> None:
    """What makes a folder a repository."""
    make_tree(folder, ".git/HEAD", ".git/objects/x", ".git/refs/x")


def test_gitignore_at_every_level(tree: Path) -> None:
    names = ("keep.log", "x.log", "top.txt", "build/x.txt", "s/build/y.txt", "s/x.log", "s/top.txt", "s/z.md")
    make_tree(tree, *names, "s/t/x.log", "s/t/z.md")
    (tree / ".gitignore").write_text("*.log\n!keep.log\n/top.txt\nbuild/\n")
    (tree / "s/.gitignore").write_text("!x.log\n/z.md\n")
    (tree / "s/t/.gitignore").write_text("*.log\n")
    assert below(tree) == ["keep.log", "s/t/z.md", "s/top.txt", "s/x.log"]
    assert below(tree, gitignore=False) == sorted([*names, "s/t/x.log", "s/t/z.md"])


def test_folder_in_a_repository_obeys_those_above_it(tree: Path) -> None:
    make_tree(tree, "src/a.txt", "src/k.secret", "src/build/g.txt", "src/deep/k.secret", "src/deep/b.txt", "b.txt")
    (tree / ".gitignore").write_text("build/\n*.secret\n/src/deep/b.txt\n")
    (tree / "src/.gitignore").write_text("!/k.secret\n")
    assert below(tree / "src/deep") == ["b.txt", "k.secret"], "there is no repository"
    fake_repository(tree)
    assert below(tree / "src") == ["a.txt", "k.secret"]
    assert below(tree / "src/deep") == []
    (tree / "link").symlink_to("src/deep")
    assert below(tree / "link") == []


def test_named_folder_is_read_though_it_is_ignored(tree: Path) -> None:
    make_tree(tree, "out/a.txt", "out/b.log", "out/deep/c.txt")
    fake_repository(tree)
    (tree / ".gitignore").write_text("out/\n*.log\n")
    assert below(tree) == []
    assert below(tree / "out") == ["a.txt", "deep/c.txt"]
    assert below(tree / "out/deep") == ["c.txt"]


def test_nested_repository_has_its_own_rules(tree: Path) -> None:
    make_tree(tree, "a.log", "nested/a.log", "nested/b.txt", "nested/deep/b.txt", "not/.git/config", "not/a.log")
    fake_repository(tree)
    fake_repository(tree / "nested")
    (tree / ".gitignore").write_text("*.log\n")
    (tree / "nested/.git/info").mkdir()
    (tree / "nested/.git/info/exclude").write_text("/b.txt\n")
    assert below(tree) == ["nested/a.log", "nested/deep/b.txt"]
    assert below(tree / "nested/deep") == ["b.txt"]


def test_lists_of_the_repository_and_of_the_user(tree: Path, home: Path) -> None:
    make_tree(tree, "a.1", "a.2", "a.3", "a.4", "a.5", "s/only.5")
    fake_repository(tree)
    (tree / ".git/info").mkdir()
    (tree / ".git/info/exclude").write_bytes(b"\xef\xbb\xbf*.1\n!a.3\n")
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/ignore").write_text("*.2\na.3\n")
    assert below(tree) == ["a.3", "a.4", "a.5", "s/only.5"]
    (home / ".gitconfig").write_text('[user]\nname = x\n[Core] ; settings\n\texcludesFile = "~/my ignore" # mine\n')
    (home / "my ignore").write_text("/*.5\n")
    assert below(tree) == ["a.2", "a.3", "a.4", "s/only.5"]
    (tree / ".git/config").write_text('[core]\nexcludesfile = ignore.txt\nignoreCase\n[remote "x"]\nexcludesfile = y\n')
    (tree / "ignore.txt").write_text("S/\nignore.TXT\n")
    assert below(tree) == ["a.2", "a.3", "a.4", "a.5"]
    (tree / ".git/config").write_text("[core]\nexcludesfile = /dev/null\n")
    assert below(tree) == ["a.2", "a.3", "a.4", "a.5", "ignore.txt", "s/only.5"]


def test_submodule_and_second_work_tree_keep_theirs_elsewhere(tree: Path) -> None:
    make_tree(tree, "work/a.log", "work/b.txt", "work/c.txt")
    fake_repository(tree / "main")
    (tree / "main/.git/info").mkdir()
    (tree / "main/.git/info/exclude").write_text("*.log\n")
    make_tree(tree, "main/.git/worktrees/work/HEAD")
    (tree / "main/.git/worktrees/work/commondir").write_text("../..\n")
    (tree / "work/.git").write_text("gitdir: ../main/.git/worktrees/work\n")
    (tree / "work/.gitignore").write_text("b.txt")
    assert below(tree / "work") == ["c.txt"]
    (tree / "work/.git").write_text("gitdir: ../main/.git\n")
    assert below(tree / "work") == ["c.txt"]
    (tree / "work/.git").write_text("not for git")
    assert below(tree / "work") == ["a.log", "c.txt"]


def test_gitignore_with_bad_lines(tree: Path) -> None:
    make_tree(tree, "a.txt", "b.log", os.fsdecode(b"\xe9.txt"))
    (tree / ".gitignore").write_bytes(b"!\n\\\n[a\n*.log\n\xe9.txt\n")
    assert below(tree) == ["a.txt"]


def test_linked_gitignore_is_not_followed(tree: Path) -> None:
    make_tree(tree, "a.txt")
    (tree / ".gitignore").symlink_to("/dev/zero")
    assert below(tree) == ["a.txt"]


def test_folder_whose_patterns_cannot_be_read_is_not_entered(tree: Path) -> None:
    make_tree(tree, "a.txt", "s/secret.txt")
    (tree / "s/.gitignore").write_text("#" * 2**20 + "\nsecret.txt")
    first, second = walk(str(tree), ReadOptions())
    assert first == str(tree / "a.txt")
    assert isinstance(second, OSError) and second.strerror == "more than 1 MiB of patterns or settings"
    assert second.filename == f"{tree}/s/.gitignore"


@needs_git
@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("ids", ["sha1", "sha256"])
def test_tracked_file_is_read_though_it_is_ignored(tree: Path, version: int, ids: str) -> None:
    git(tree, "init", "-q", f"--object-format={ids}")
    git(tree, "config", "index.version", str(version))
    make_tree(tree, "a.log", "b.log", "out/deep/c.txt", "out/deep/d.txt", "out/e.txt", "x" * 200, "later.txt")
    git(tree, "add", "a.log", "out/deep/c.txt", "x" * 200)
    git(tree, "add", "-N", "later.txt")
    (tree / ".gitignore").write_text("*\n")
    assert below(tree) == ["a.log", "later.txt", "out/deep/c.txt", "x" * 200] == listed(tree)
    assert below(tree / "out/deep") == ["c.txt"]


@needs_git
def test_index_in_pieces(tree: Path) -> None:
    git(tree, "init", "-q")
    make_tree(tree, *(f"{'n' * length}/{length}" for length in range(1, 20)))
    git(tree, "add", ".")
    for version in (2, 4):
        git(tree, "update-index", "--index-version", str(version))
        data = (tree / ".git/index").read_bytes()
        expected = git(tree, "ls-files", "-z").split(b"\0")[:-1]
        assert tracked_paths(data, 20) == expected
        for end in range(0, len(data) - 40, 7):
            with pytest.raises(ValueError, match="git index"):
                tracked_paths(data[:end], 20)


def test_damaged_index_is_an_error(tree: Path) -> None:
    make_tree(tree, "a.txt", "b.log")
    fake_repository(tree)
    (tree / ".git/index").write_text("nonsense")
    assert below(tree) == ["a.txt", "b.log"], "nothing is ignored, so that the index is not asked"
    (tree / ".gitignore").write_text("*.log")
    (only,) = [item for item in walk(str(tree), ReadOptions()) if isinstance(item, str | OSError)]
    assert isinstance(only, OSError) and only.strerror == "not a git index"


@needs_git
@pytest.mark.parametrize("seed", range(6))
def test_two_hundred_random_patterns(tree: Path, home: Path, seed: int) -> None:
    chance = random.Random(seed)
    git(tree, "init", "-q")
    names: set[str] = set()
    for path in (random_path(chance) for _ in range(1500)):
        parts = path.split("/")
        ancestors = {"/".join(parts[:end]) for end in range(1, len(parts))}
        if not ancestors & names and not (tree / path).is_dir():
            make_tree(tree, path)
            names.add(path)
    folders = sorted({os.path.dirname(name) for name in names})
    (home / ".config/git").mkdir(parents=True)
    lists = [tree / folder / ".gitignore" for folder in ["", *chance.sample(folders, 7)]]
    lists += [tree / ".git/info/exclude", home / ".config/git/ignore"]
    # Few patterns take most files; so some are about one file each, as the patterns that people write.
    patterns = [random_pattern(chance) for _ in range(80)] + [_specific(chance, names) for _ in range(120)]
    for path in lists:
        path.write_bytes(chance.choice([b"", b"\xef\xbb\xbf"]))
    for pattern in patterns:
        with chance.choice(lists).open("ab") as file:
            file.write(pattern.encode() + chance.choice([b"\n", b"\r\n"]))
    git(tree, "add", "-f", "--", *(f"./{name}" for name in chance.sample(sorted(names), 10)))
    assert sorted(below(tree)) == listed(tree)
    assert 0 < len(below(tree)) < len(names)
    for folder in chance.sample(folders, 10):
        if not git(tree, "check-ignore", "--no-index", f"./{folder}"):  # git lists nothing in a folder that is ignored
            assert sorted(below(tree / folder)) == listed(tree / folder), folder


def _specific(chance: random.Random, names: set[str]) -> str:
    """A pattern made of a path, with a part of it replaced."""
    path = chance.choice(sorted(names))
    path = "".join("\\" + character if character in "\\*[!" else character for character in path)
    cut = chance.randrange(len(path))
    wildcard = chance.choice(["", "", "*", "**", "?", "/**/", "[a-c]"])
    return chance.choice(["", "!", "/", "**/", "!**/"]) + path[:cut] + wildcard + path[cut + (wildcard != "") :]
