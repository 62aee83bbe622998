"""Directories: which of their files are read, in which order, and what .gitignore, --include and --exclude change."""

import io
import os
import subprocess
from pathlib import Path

from read_paths import error, make_tree, read

from hipcli.documents.document import Document
from hipcli.documents.inputs import read_documents
from hipcli.documents.options import ReadOptions
from hipcli.errors import HipError


def below(root: Path, **options: object) -> list[str]:
    """Paths of the files that are read in a directory, relative to it."""
    results = read(root, **options)
    found = [result.path for result in results if isinstance(result, Document)]
    assert len(found) == len(results), results
    return [os.path.relpath(path, root) for path in found]


def test_sorted_by_path(tmp_path: Path) -> None:
    make_tree(tmp_path, "b/c.txt", "b/a.txt", "b.txt", "a-b.md", "a/z.py", "Z.c")
    assert below(tmp_path) == ["Z.c", "a-b.md", "a/z.py", "b.txt", "b/a.txt", "b/c.txt"]


def test_what_is_skipped_in_silence(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt", ".hidden", ".git/config", "sub/.env")
    (tmp_path / "binary").write_bytes(b"\0\1\2")
    (tmp_path / "noise").write_bytes(bytes(range(1, 256)) * 20)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "blank.txt").write_text("\n")
    (tmp_path / "link.txt").symlink_to("a.txt")
    (tmp_path / "sub/up").symlink_to("..")
    os.mkfifo(tmp_path / "pipe")
    assert below(tmp_path) == ["a.txt"]


def test_linked_directory_is_followed_if_named(tmp_path: Path) -> None:
    make_tree(tmp_path, "d/a.txt")
    (tmp_path / "link").symlink_to("d")
    assert below(tmp_path / "link") == ["a.txt"]


def test_damaged_pdf_inside_is_an_error_in_its_place(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt", "c.txt")
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.4 nothing")
    kinds = [type(result) for result in read(tmp_path)]
    assert kinds == [Document, HipError, Document]


def test_file_that_vanishes(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt", "b.txt", "c.txt")
    results = read_documents([str(tmp_path)], ReadOptions(), io.BytesIO())
    first = next(results)
    (tmp_path / "b.txt").unlink()
    second, third = results
    assert isinstance(first, Document) and isinstance(third, Document)
    assert isinstance(second, HipError) and "b.txt: no such file" in second.message


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\0")
    assert error(tmp_path).message == f"{tmp_path}: nothing to read in this directory"


def test_very_deep(tmp_path: Path) -> None:
    depth = 1500
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    with open(os.open("leaf.txt", os.O_CREAT | os.O_WRONLY, dir_fd=here), "w") as leaf:
        leaf.write("deep")
    os.close(here)
    try:
        assert below(tmp_path) == ["d/" * depth + "leaf.txt"]
    finally:
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # pytest's own removal is recursive


def test_file_name_of_any_bytes(tmp_path: Path) -> None:
    make_tree(tmp_path, os.fsdecode(b"caf\xe9.txt"), "two\nlines.txt")
    assert below(tmp_path, exclude=("*lines*",)) == [os.fsdecode(b"caf\xe9.txt")]
    assert below(tmp_path, include=(os.fsdecode(b"caf\xe9*"),)) == [os.fsdecode(b"caf\xe9.txt")]


def test_gitignore_at_every_level(tmp_path: Path) -> None:
    names = ("keep.log", "x.log", "top.txt", "build/x.txt", "s/build/y.txt", "s/x.log", "s/top.txt", "s/z.md")
    make_tree(tmp_path, *names, "s/t/x.log", "s/t/z.md")
    (tmp_path / ".gitignore").write_text("*.log\n!keep.log\n/top.txt\nbuild/\n")
    (tmp_path / "s/.gitignore").write_text("!x.log\n/z.md\n")
    (tmp_path / "s/t/.gitignore").write_text("*.log\n")
    assert below(tmp_path) == ["keep.log", "s/t/z.md", "s/top.txt", "s/x.log"]
    assert below(tmp_path, gitignore=False) == sorted([*names, "s/t/x.log", "s/t/z.md"])


def test_gitignore_with_bad_lines(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt", "b.log", os.fsdecode(b"\xe9.txt"))
    (tmp_path / ".gitignore").write_bytes(b"!\n\\\n[z-a]\n*.log\n\xe9.txt\n")
    assert below(tmp_path) == ["a.txt"]


def test_linked_gitignore_is_not_followed(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt")
    (tmp_path / ".gitignore").symlink_to("/dev/zero")
    assert below(tmp_path) == ["a.txt"]


def test_include_and_exclude(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.md", "a.py", "docs/b.md", "docs/old/c.md", "docs/d.txt", "src/e.py")
    assert below(tmp_path, include=("*.md",)) == ["a.md", "docs/b.md", "docs/old/c.md"]
    assert below(tmp_path, include=("*.md", "/src")) == ["a.md", "docs/b.md", "docs/old/c.md", "src/e.py"]
    assert below(tmp_path, exclude=("*.md", "!/a.md")) == ["a.md", "a.py", "docs/d.txt", "src/e.py"]
    assert below(tmp_path, include=("docs/",), exclude=("old/",)) == ["docs/b.md", "docs/d.txt"]


def test_include_does_not_undo_gitignore(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.md", "b.md")
    (tmp_path / ".gitignore").write_text("b.md")
    assert below(tmp_path, include=("*.md",)) == ["a.md"]
