"""Files and standard input: read as documents, or refused with an error that names them."""

import errno
import hashlib
import io
import os
import runpy
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from read_paths import document, error, make_tree, read

from hipcli.documents.document import Document
from hipcli.documents.inputs import default_paths, read_documents, standard_input
from hipcli.documents.options import ReadOptions
from hipcli.errors import ExitCode, HipError

ROOT = Path(__file__).parents[3]
make_pdf = runpy.run_path(str(ROOT / "tests/data/make_pdf.py"))["make_pdf"]
REAL = ROOT.parent / "shared/data"


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A directory of a user to whom file modes apply."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


class TestFiles:
    def test_text(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.unknown"
        path.write_bytes(b"one\r\ntwo")
        found = document(path)
        assert (found.path, found.kind, found.unit, found.warnings) == (str(path), "text", None, ())
        assert [(page.number, page.text, page.label) for page in found.pages] == [(1, "one\ntwo", None)]
        assert found.sha256 == hashlib.sha256(b"one\r\ntwo").hexdigest()

    @pytest.mark.parametrize("name", ["book.pdf", "BOOK.PDF", "book", "book.txt"])
    def test_pdf_by_name_or_content(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(make_pdf([["one"], ["two"]]))
        found = document(tmp_path / name)
        assert (found.kind, [page.text for page in found.pages]) == ("pdf", ["one", "two"])

    def test_pdf_after_other_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "book").write_bytes(b"\0\0HTTP/1.1 200 OK\r\n\r\n" + make_pdf([["one"]]))
        assert document(tmp_path / "book").kind == "pdf"

    def test_text_about_pdf_is_text(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("A PDF begins with %PDF-1.7\n")
        assert document(tmp_path / "notes.txt").kind == "text"

    def test_pages(self, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").write_bytes(make_pdf([["one"], ["two"], ["three"]]))
        assert [page.number for page in document(tmp_path / "a.pdf", pages="2-").pages] == [2, 3]

    def test_pages_of_a_text_are_not_ignored_in_silence(self, tmp_path: Path) -> None:
        make_tree(tmp_path, "a.txt")
        assert document(tmp_path / "a.txt", pages="2").warnings == ("--pages does not apply: only a PDF has pages.",)

    def test_password(self, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").write_bytes(make_pdf([["secret"]], user_password="u"))
        assert document(tmp_path / "a.pdf", password="u").pages[0].text == "secret"
        assert "protected by a password" in error(tmp_path / "a.pdf").message

    def test_encoding(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes("né".encode("utf-16-le"))
        assert document(tmp_path / "a.txt", encoding="utf-16-le").pages[0].text == "né"
        assert "binary" in error(tmp_path / "a.txt").message

    def test_named_file_is_never_filtered(self, tmp_path: Path) -> None:
        make_tree(tmp_path, ".gitignore", ".hidden.md", "a.log")
        (tmp_path / ".gitignore").write_text("*.log")
        (tmp_path / "link").symlink_to("a.log")
        named = [tmp_path / name for name in (".hidden.md", "a.log", "link")]
        assert [result.path for result in read(*named, exclude=("*",), include=("*.x",))] == list(map(str, named))

    def test_named_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("through a pipe",))
        writer.start()
        assert document(tmp_path / "pipe").pages[0].text == "through a pipe"
        writer.join()

    def test_process_substitution(self) -> None:
        receiving, sending = os.pipe()
        with os.fdopen(sending, "wb") as stream:
            stream.write(b"of a process")
        assert document(f"/dev/fd/{receiving}").pages[0].text == "of a process"
        os.close(receiving)

    def test_endless_device_is_refused(self) -> None:
        assert error("/dev/zero", memory=16).message == "/dev/zero: has more than 4 MiB"


class TestBadFiles:
    def test_missing(self, tmp_path: Path) -> None:
        found = error(tmp_path / "no.txt")
        assert found.message == f"{tmp_path}/no.txt: no such file or directory"
        assert found.exit_code == ExitCode.FAILED

    def test_no_permission(self, as_nobody: Path) -> None:
        make_tree(as_nobody, "a.txt", "d/b.txt")
        (as_nobody / "a.txt").chmod(0)
        (as_nobody / "d").chmod(0)
        assert error(as_nobody / "a.txt").message == f"{as_nobody}/a.txt: permission denied"
        assert [result.message for result in read(as_nobody) if isinstance(result, HipError)] == [
            f"{as_nobody}/a.txt: permission denied",
            f"{as_nobody}/d/: permission denied",
        ]
        (as_nobody / "d").chmod(0o700)

    @pytest.mark.parametrize("name", ["a.txt", "a.pdf"])
    def test_empty(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        assert error(tmp_path / name).message == f"{tmp_path / name}: empty"

    def test_only_white_space(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text(" \n\t\n")
        assert "no text" in error(tmp_path / "a.txt").message

    def test_binary(self, tmp_path: Path) -> None:
        (tmp_path / "a.out").write_bytes(b"\x7fELF\0\0\0" * 9)
        assert "is binary" in error(tmp_path / "a.out").message

    def test_damaged_pdf(self, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").write_bytes(make_pdf([["one"]])[:300])
        assert error(tmp_path / "a.pdf").message == f"{tmp_path}/a.pdf: damaged PDF"

    def test_socket(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "s"))
            assert error(tmp_path / "s").message.startswith(f"{tmp_path}/s: ")

    def test_the_rest_of_a_batch_goes_on_in_order(self, tmp_path: Path) -> None:
        make_tree(tmp_path, "a.txt", "z.txt")
        results = read(tmp_path / "a.txt", tmp_path / "gone", "-", tmp_path / "z.txt", stdin=b"piped")
        assert [result.path if isinstance(result, Document) else None for result in results] == [
            f"{tmp_path}/a.txt",
            None,
            "-",
            f"{tmp_path}/z.txt",
        ]


class TestOptions:
    @pytest.mark.parametrize(
        "values",
        [{"pages": "4-2"}, {"encoding": "klingon"}, {"include": ("[a",)}, {"exclude": ("*.md", "!")}],
    )
    def test_nonsense_is_a_usage_error(self, values: dict[str, object]) -> None:
        with pytest.raises(HipError) as caught:
            ReadOptions(**values)  # type: ignore[arg-type]
        assert caught.value.exit_code == ExitCode.USAGE
        assert f"--{next(iter(values))}" in caught.value.message


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


class TestStandardInput:
    def test_text_and_pdf(self) -> None:
        found = document("-", stdin="né".encode())
        assert (found.path, found.kind, found.pages[0].text) == ("-", "text", "né")
        assert document("-", stdin=make_pdf([["one"]])).kind == "pdf"

    def test_equals_the_file(self, tmp_path: Path) -> None:
        data = "Größe\r\n".encode("cp1252") * 30
        (tmp_path / "a.txt").write_bytes(data)
        piped, named = document("-", stdin=data), document(tmp_path / "a.txt")
        assert (piped.pages, piped.sha256, piped.warnings) == (named.pages, named.sha256, named.warnings)

    @pytest.mark.parametrize("data", [b"", b"\0\1"])
    def test_nothing_in_it(self, data: bytes) -> None:
        assert error("-", stdin=data).message.startswith("standard input: ")

    def test_twice_is_a_usage_error_before_anything_is_read(self) -> None:
        stdin = io.BytesIO(b"text")
        with pytest.raises(HipError) as caught:
            read_documents(["-", "a", "-"], ReadOptions(), stdin)
        assert caught.value.exit_code == ExitCode.USAGE
        assert stdin.tell() == 0

    def test_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        stdin = standard_input()
        (result,) = read_documents(["-"], ReadOptions(), stdin)
        assert isinstance(result, HipError) and result.message == "standard input: closed"
        with pytest.raises(HipError):
            default_paths(None, stdin)

    def test_unreadable(self) -> None:
        class Failing(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise OSError(errno.EIO, "Input/output error")

        (result,) = read_documents(["-"], ReadOptions(), Failing())
        assert isinstance(result, HipError) and result.message == "standard input: input/output error"

    def test_default_paths(self) -> None:
        assert default_paths(["a", "-"], Terminal()) == ["a", "-"]
        assert default_paths(None, io.BytesIO()) == ["-"]
        with pytest.raises(HipError, match="no PATH") as caught:
            default_paths([], Terminal())
        assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.skipif(not REAL.is_dir(), reason="no shared data here")
def test_real_directory() -> None:
    results = [result for name in ("books", "contracts", "meetings", "pdf", "stories") for result in read(REAL / name)]
    failed = [result.message for result in results if isinstance(result, HipError)]
    assert len(failed) == 1 and failed[0].endswith("aes256_r6.pdf: protected by a password")
    paths = [result.path for result in results if isinstance(result, Document)]
    assert len(paths) == 27 and paths == sorted(paths)
