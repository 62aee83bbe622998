"""Files in an archive that git would ignore: secrets, and what was built."""

import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hipcli.documents.document import Document, Skipped
from hipcli.documents.options import ReadOptions
from hipcli.documents.reading import ReadingError, read_bytes

Pack = Callable[[dict[str, str]], bytes]


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        for name, text in files.items():
            writer.writestr(name, text)
    return buffer.getvalue()


def tarred(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as writer:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(text)
            writer.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


both = pytest.mark.parametrize("pack", [zipped, tarred])


def read(data: bytes, **options: object) -> tuple[set[str], set[str]]:
    """The names of the files that are read, and of those that are ignored."""
    items = list(read_bytes(data, "a", "a", ReadOptions(**options), found=False))  # type: ignore[arg-type]
    reason = "is ignored by .gitignore"
    return (
        {item.path.removeprefix("a/") for item in items if isinstance(item, Document)},
        {item.path.removeprefix("a/") for item in items if isinstance(item, Skipped) and item.reason == reason},
    )


@both
def test_every_gitignore_counts_wherever_it_comes(pack: Pack) -> None:
    data = pack(
        {
            "p/config.env": "secret",
            "p/notes.txt": "notes",
            "p/build/out.txt": "built",
            "p/keep/config.env": "kept",
            "p/keep/.gitignore": "!config.env\n/here.txt\n",
            "p/keep/here.txt": "x",
            "p/keep/deep/here.txt": "x",
            "p/.gitignore": "*.env\nbuild/\n",
            "other/config.env": "no secret of p",
        }
    )
    read_files, ignored = read(data)
    assert read_files == {"p/notes.txt", "p/keep/config.env", "p/keep/deep/here.txt", "other/config.env"}
    assert ignored == {"p/config.env", "p/build/out.txt", "p/keep/here.txt"}


@both
def test_they_can_be_read_all_the_same(pack: Pack) -> None:
    data = pack({"config.env": "secret", ".gitignore": "*.env"})
    assert read(data, gitignore=False) == ({"config.env"}, set())


@both
def test_the_repository_has_a_list_of_its_own(pack: Pack) -> None:
    data = pack({"p/a.env": "x", "p/b.env": "x", "p/.gitignore": "!b.env", "p/.git/info/exclude": "*.env"})
    assert read(data) == ({"p/b.env"}, {"p/a.env"})


def test_patterns_that_cannot_be_read_are_an_error_of_their_own() -> None:
    data = zipped({".gitignore": "*.env", "a.txt": "text"}).replace(b"*.env", b"*.xxx")
    items = list(read_bytes(data, "a", "a", ReadOptions(), found=False))
    assert [item.message for item in items if isinstance(item, ReadingError)] == [
        "a/.gitignore: is damaged (Bad CRC-32 for file '.gitignore')"
    ]
    assert [item.path for item in items if isinstance(item, Document)] == ["a/a.txt"]


@both
def test_as_git_does(pack: Pack, tmp_path: Path) -> None:
    """Folders that an inner pattern cannot take back, names that only differ in their place."""
    rules = {"": "d*/\n!d2/\n*.x\n!/top.x\na/**/z\n", "d2/": "*\n!e/\n!e/**\n", "a/": "/b\n"}
    files = {f"{folder}.gitignore": text for folder, text in rules.items()}
    for folder in ("", "d1/", "d2/", "d2/e/", "a/", "a/b/", "a/c/"):
        files |= {f"{folder}{name}": "text" for name in ("top.x", "z", "b", "y.txt") if f"{folder}{name}" != "a/b"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    command = ["git", "-c", f"core.excludesFile={os.devnull}", "ls-files", "-co", "--exclude-standard", "-z"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    listed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    expected = {name for name in listed.split("\0") if name and not name.endswith(".gitignore")}
    assert read(pack(files))[0] == expected
