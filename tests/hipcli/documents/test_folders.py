"""Directories: which of their files are read, in which order, and what links, patterns and so on change."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from read_paths import make_tree, read

from hipcli.documents.document import Document, Skipped
from hipcli.documents.folders import walk
from hipcli.documents.options import ReadOptions
from hipcli.errors import HipError

AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def below(root: Path, **options: object) -> list[str]:
    """Paths of the files that are to be read in a directory, relative to it. Nothing else may be told of them."""
    found = walk(str(root), ReadOptions(**options))  # type: ignore[arg-type]
    return [os.path.relpath(item, root) for item in found if isinstance(item, str)]


def skipped(root: Path, **options: object) -> dict[str, str]:
    """Why the other files are not read, by their paths; "..." comes after a reason that is told only in number."""
    found = walk(str(root), ReadOptions(**options))  # type: ignore[arg-type]
    return {
        item.path.removeprefix(f"{root}/"): item.reason + "..." * item.quiet
        for item in found
        if isinstance(item, Skipped)
    }


def test_sorted_by_path(tmp_path: Path) -> None:
    make_tree(tmp_path, "b/c.txt", "b/a.txt", "b.txt", "a-b.md", "a/z.py", "Z.c")
    assert below(tmp_path) == ["Z.c", "a-b.md", "a/z.py", "b.txt", "b/a.txt", "b/c.txt"]
    assert skipped(tmp_path) == {}


def test_every_other_file_is_told_with_its_reason(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt", "a.log", ".hidden", ".git/config", "sub/.env", "build/x/y.txt", "build/z.txt")
    (tmp_path / ".gitignore").write_text("build/\n*.log")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "sub/socket"))
    assert below(tmp_path) == ["a.txt"]
    assert skipped(tmp_path) == {
        "a.log": "is ignored by .gitignore...",
        "build/": "is ignored by .gitignore...",
        ".gitignore": "is hidden...",
        ".hidden": "is hidden...",
        ".git/": "is hidden...",
        "sub/.env": "is hidden...",
        "pipe": "is a pipe",
        "sub/socket": "is a socket",
    }


def test_nothing_is_told_of_what_the_user_left_out(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.md", "b.txt", ".c.txt", "out/.d.md", "out/e.md", ".hidden/f.md")
    (tmp_path / "link.txt").symlink_to("b.txt")
    options = {"include": ("*.md",), "exclude": ("out/",)}
    assert below(tmp_path, **options) == ["a.md"]
    assert skipped(tmp_path, **options) == {".hidden/": "is hidden..."}


def test_link_is_told_with_its_target(tmp_path: Path) -> None:
    make_tree(tmp_path, "docs/x.txt", "docs/sub/y.txt", "docs/.env", "docs/no.md", "outside.txt", "more/z.txt")
    docs = tmp_path / "docs"
    links = {
        "a": "x.txt",
        "b": "sub",
        "c": "../outside.txt",
        "d": "../more",
        "e": ".env",
        "f": "nowhere",
        "g": "g",
        "h": "..",
        "sub/i": "..",
        "j": "/dev/null",
        "k": "a",
        "l": "no.md",
        ".m": "x.txt",
    }
    for name, target in links.items():
        (docs / name).symlink_to(target)
    assert below(docs, exclude=("no.md",)) == ["sub/y.txt", "x.txt"]
    assert skipped(docs, exclude=("no.md",)) == {
        "a": "is a link to x.txt, which is read",
        "b": "is a link to sub, which is read",
        "c": "is a link to ../outside.txt: name it, or take --links",
        "d": "is a link to ../more: name it, or take --links",
        "e": "is a link to .env: name it, or take --links",
        "f": "is a link to nowhere: no such file or directory",
        "g": "is a link to g: too many levels of symbolic links",
        "h": "is a link to ..: name it, or take --links",
        "sub/i": "is a link to .., which is read",
        "j": "is a link to /dev/null, which is a device",
        "k": "is a link to a, which is read",
        "l": "is a link to no.md: name it, or take --links",
        ".m": "is hidden...",
        ".env": "is hidden...",
    }


def test_links_are_followed_and_nothing_is_read_twice(tmp_path: Path) -> None:
    make_tree(tmp_path, "docs/x.txt", "docs/sub/y.txt", "outside.txt", "more/z.txt", "more/deep/q.txt", "more/.env")
    docs = tmp_path / "docs"
    links = {"a": "../outside.txt", "b": "../outside.txt", "c": "x.txt", "d": "../more/deep", "e": "../more", "f": "f"}
    for name, target in (links | {"sub/up": "../..", "../more/deep/loop": "../../docs"}).items():
        (docs / name).symlink_to(target)
    assert below(docs, links=True) == ["sub/y.txt", "x.txt", "a", "d/q.txt", "e/z.txt"]
    assert skipped(docs, links=True) == {
        "b": "is a link to ../outside.txt, which is read",
        "c": "is a link to x.txt, which is read",
        "f": "is a link to f: too many levels of symbolic links",
        "d/loop": "is a link to ../../docs, which is read",
        "e/.env": "is hidden...",
    }


def test_patterns_hold_in_linked_folders(tmp_path: Path) -> None:
    make_tree(tmp_path, "docs/a.md", "other/b.md", "other/c.txt", "other/d.log", "other/e.log")
    (tmp_path / "other/.gitignore").write_text("d.log")
    (tmp_path / "docs/link").symlink_to("../other")
    assert below(tmp_path / "docs", links=True) == ["a.md", "link/b.md", "link/c.txt", "link/e.log"]
    assert below(tmp_path / "docs", links=True, include=("*.md",)) == ["a.md", "link/b.md"]
    assert below(tmp_path / "docs", links=True, include=("link/",)) == ["link/b.md", "link/c.txt", "link/e.log"]
    assert below(tmp_path / "docs", links=True, exclude=("link/",)) == ["a.md"]


def test_linked_directory_is_followed_if_named(tmp_path: Path) -> None:
    make_tree(tmp_path, "d/a.txt")
    (tmp_path / "link").symlink_to("d")
    assert below(tmp_path / "link") == ["a.txt"]


@pytest.mark.skipif(AS_ROOT, reason="root may list every directory")
def test_directory_that_may_not_be_listed_is_an_error_in_its_place(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt", "b/b.txt", "c.txt")
    (tmp_path / "b").chmod(0)
    first, second, third = walk(str(tmp_path), ReadOptions())
    (tmp_path / "b").chmod(0o700)
    assert (first, third) == (str(tmp_path / "a.txt"), str(tmp_path / "c.txt"))
    assert isinstance(second, PermissionError) and second.filename == f"{tmp_path}/b/"


def test_directory_that_vanishes_is_an_error_in_its_place(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt", "b/b.txt", "c.txt")
    found = walk(str(tmp_path), ReadOptions())
    assert next(found) == str(tmp_path / "a.txt")
    (tmp_path / "b/b.txt").unlink()
    (tmp_path / "b").rmdir()
    second, third = found
    assert isinstance(second, FileNotFoundError) and second.filename == f"{tmp_path}/b/"
    assert third == str(tmp_path / "c.txt")


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
    (tmp_path / ".gitignore").write_bytes(b"[\xe9c]a*\xe9.txt\n")
    assert below(tmp_path) == ["two\nlines.txt"]


def test_include_and_exclude(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.md", "a.py", "docs/b.md", "docs/old/c.md", "docs/d.txt", "src/e.py")
    assert below(tmp_path, include=("*.md",)) == ["a.md", "docs/b.md", "docs/old/c.md"]
    assert below(tmp_path, include=("*.md", "/src")) == ["a.md", "docs/b.md", "docs/old/c.md", "src/e.py"]
    assert below(tmp_path, exclude=("*.md", "!/a.md")) == ["a.md", "a.py", "docs/d.txt", "src/e.py"]
    assert below(tmp_path, include=("docs/",), exclude=("old/",)) == ["docs/b.md", "docs/d.txt"]
    assert below(tmp_path, include=("docs/", "!*.txt")) == ["docs/b.md", "docs/old/c.md"]
    assert below(tmp_path, include=("*.md", "!old/")) == ["a.md", "docs/b.md"]
    assert below(tmp_path, include=("!old/", "*.md")) == ["a.md", "docs/b.md", "docs/old/c.md"]


def test_include_does_not_undo_gitignore(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.md", "b.md")
    (tmp_path / ".gitignore").write_text("b.md")
    assert below(tmp_path, include=("*.md",)) == ["a.md"]


def test_file_that_is_no_document_is_told(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt")
    (tmp_path / "binary").write_bytes(b"\0\1\2")
    (tmp_path / "noise").write_bytes(bytes(range(1, 256)) * 20)
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "blank.txt").write_text("\n")
    results = [result for result in read(tmp_path) if isinstance(result, Skipped)]
    assert [(os.path.basename(result.path), result.reason) for result in results] == [
        ("binary", "is binary, or text in an unknown encoding"),
        ("blank.txt", "has no text, only white space"),
        ("empty.pdf", "empty"),
        ("noise", "is binary, or text in an unknown encoding"),
    ]


def test_damaged_pdf_inside_is_an_error_in_its_place(tmp_path: Path) -> None:
    make_tree(tmp_path, "a.txt", "c.txt")
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.4 nothing")
    first, second, third = read(tmp_path)
    assert isinstance(first, Document) and isinstance(second, HipError) and isinstance(third, Document)


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\0")
    *_, last = read(tmp_path)
    assert isinstance(last, HipError) and last.message == f"{tmp_path}: nothing to read in this directory"
