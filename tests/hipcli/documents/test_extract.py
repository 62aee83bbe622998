import json
import os
import pty
import runpy
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import typer
from schemas import schema
from typer.testing import CliRunner, Result

from hipcli.cli.commands.extract import extract
from hipcli.errors import ExitCode, HipError

ROOT = Path(__file__).parents[3]
make_pdf = runpy.run_path(str(ROOT / "tests/data/make_pdf.py"))["make_pdf"]

app = typer.Typer()
app.command()(extract)


def run(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.pdf"
    path.write_bytes(make_pdf([["Preface"], ["Chapter One", "It was a dark"], []], roman_pages=1))
    return path


def test_one_text_is_printed_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("né\r\n\r\nend".encode())
    result = run(tmp_path / "a.txt")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "né\n\nend\n", "")


def test_pages_of_a_pdf_are_marked_and_warnings_go_to_stderr(book: Path) -> None:
    result = run(book)
    assert result.exit_code == 0
    assert result.stdout == "[page 1]\nPreface\n[page 2]\nChapter One\nIt was a dark\n[page 3]\n"
    assert result.stderr == f"hip: warning: {book}: no text on 1 of 3 pages: 3.\n"


def test_several_documents_are_headed(tmp_path: Path, book: Path) -> None:
    (tmp_path / "z.md").write_text("# Title\n")
    result = run(tmp_path, "--pages", "2", "--exclude", "*.txt")
    assert result.stdout == (
        f"==> {book} <==\n[page 2]\nChapter One\nIt was a dark\n==> {tmp_path}/z.md <==\n# Title\n"
    )


def test_a_text_cannot_pass_for_another_document(tmp_path: Path) -> None:
    text = "fine\n==> other.txt <==\n \u200b==> third.txt <==\r\n a ==> b\n"
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.txt").write_text("==> a.txt <==")
    assert run(tmp_path).stdout == (
        f"==> {tmp_path}/a.txt <==\nfine\n\\==> other.txt <==\n \u200b\\==> third.txt <==\n a ==> b\n"
        f"==> {tmp_path}/b.txt <==\n\\==> a.txt <==\n"
    )
    assert run(tmp_path / "b.txt").stdout == "==> a.txt <==\n", "alone, a text is printed as it is"
    first, _ = json.loads(run("--json", tmp_path).stdout)["documents"]
    assert first["pages"][0]["text"] == text.replace("\r\n", "\n")


def test_pictures_that_are_not_read_are_told_together(tmp_path: Path) -> None:
    def told() -> list[str]:
        return [line for line in run("--ocr", "off", tmp_path).stderr.splitlines() if "picture" in line]

    (tmp_path / "z.txt").write_text("text")
    (tmp_path / "0.png").write_bytes(b"\x89PNG\r\n")
    assert told() == [f"hip: warning: {tmp_path}/0.png: not read: is a picture, and --ocr is off"]
    for number in range(1, 120):
        (tmp_path / f"{number}.png").write_bytes(b"\x89PNG\r\n")
    names = ", ".join(f"{tmp_path}/{name}.png" for name in ("0", "1", "10"))
    assert told() == [
        f"hip: warning: 120 files were not read, {names} and 117 more: each is a picture, and --ocr is off"
    ]
    entries = json.loads(run("--ocr", "off", "--report", "--json", tmp_path).stdout)["documents"]
    assert len([entry for entry in entries if entry["status"] == "skipped"]) == 120


def test_json(tmp_path: Path, book: Path) -> None:
    (tmp_path / "z.md").write_text("# né\n")
    result = run("--json", book, tmp_path / "z.md")
    extracted = json.loads(result.stdout)
    first, second = extracted.pop("documents")
    assert extracted == {"schema_version": 2, "command": "extract", "passed_over": []}
    jsonschema.validate(json.loads(result.stdout), schema("extract.schema.json"))
    assert (first["kind"], first["characters"], len(first["sha256"])) == ("pdf", 7 + 25, 64)
    assert first["warnings"] == ["no text on 1 of 3 pages: 3."]
    assert first["pages"][:2] == [
        {"number": 1, "label": "i", "text": "Preface", "recognised": False},
        {"number": 2, "label": "1", "text": "Chapter One\nIt was a dark", "recognised": False},
    ]
    assert (second["path"], second["pages"]) == (
        str(tmp_path / "z.md"),
        [{"number": 1, "label": None, "text": "# né\n", "recognised": False}],
    )


def test_failure_is_reported_and_the_rest_printed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("readable")
    (tmp_path / "b.pdf").touch()
    result = run(tmp_path / "a.txt", tmp_path / "b.pdf", tmp_path / "gone")
    assert (result.exit_code, result.stdout) == (1, "readable\n")
    errors = [line for line in result.stderr.splitlines() if line.startswith("hip: error: ")]
    assert errors == [
        f"hip: error: {tmp_path}/b.pdf: empty",
        f"hip: error: {tmp_path}/gone: no such file or directory",
    ]
    assert result.stderr.count("hint: ") == 2


def test_nothing_readable_prints_no_text_but_says_so_in_json(tmp_path: Path) -> None:
    assert (run(tmp_path / "gone").exit_code, run(tmp_path / "gone").stdout) == (1, "")
    result = run("--json", tmp_path / "gone")
    (entry,) = json.loads(result.stdout)["documents"]
    assert (result.exit_code, entry["status"], entry["pages"]) == (1, "failed", None)
    assert entry["reason"] == "no such file or directory"
    jsonschema.validate(json.loads(result.stdout), schema("extract.schema.json"))


def test_a_report_has_a_line_for_each_file(tmp_path: Path, book: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    (tmp_path / "z.txt").write_bytes("né".encode())
    result = run("--report", tmp_path, tmp_path / "gone")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"not read: {tmp_path}/a.bin: is binary, or text in an unknown encoding",
        f"read: {book}: pdf; 3 pages; 32 characters; by pdfium; no text on 1 of 3 pages: 3",
        f"read: {tmp_path}/z.txt: text; 2 characters; utf-8 (valid); by text",
        f"failed: {tmp_path}/gone: no such file or directory",
    ]
    assert f"hip: warning: {tmp_path}/a.bin: not read: is binary" in result.stderr
    entries = json.loads(run("--report", "--json", tmp_path).stdout)["documents"]
    assert [(entry["status"], entry["pages"]) for entry in entries] == [("skipped", None), ("read", 3), ("read", None)]


def test_standard_input_is_read_if_piped() -> None:
    assert run(stdin=b"piped").stdout == "piped\n"
    assert run("-", stdin=b"piped").stdout == "piped\n"


def test_terminal_is_not_waited_for() -> None:
    master, slave = pty.openpty()
    result = hip_extract(stdin=slave)
    os.close(master)
    os.close(slave)
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, b"")
    assert b"no PATH is given" in result.stderr


@pytest.mark.parametrize("arguments", [["--pages", "x"], ["--encoding", "x"], ["-", "-"], ["--include", "!"]])
def test_nonsense_is_a_usage_error(arguments: list[str]) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, HipError)
    assert result.exception.exit_code == ExitCode.USAGE


def test_password_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pdf").write_bytes(make_pdf([["secret"]], user_password="u"))
    assert run(tmp_path / "a.pdf").exit_code == 1
    assert run(tmp_path / "a.pdf", "--password", "u").stdout == "[page 1]\nsecret\n"
    monkeypatch.setenv("HIPCLI_PASSWORD", "u")
    assert run(tmp_path / "a.pdf").stdout == "[page 1]\nsecret\n"


def test_ignored_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / ".gitignore").write_text("a.txt")
    assert run(tmp_path).exit_code == 1
    assert run(tmp_path, "--no-gitignore").stdout == "a\n"


def test_heavy_libraries_stay_out() -> None:
    code = (
        "import sys, io; sys.argv = ['hip', '-']; sys.stdin = io.TextIOWrapper(io.BytesIO(b'text'))\n"
        "import typer; from hipcli.cli.commands.extract import extract\n"
        "app = typer.Typer(); app.command()(extract); app(standalone_mode=False)\n"
        "sys.exit(not {'torch', 'transformers', 'pypdf'}.isdisjoint(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, b"text\n"), result.stderr


def hip_extract(*arguments: str, stdin: int) -> "subprocess.CompletedProcess[bytes]":
    """`hip extract` in a process of its own, its HipErrors turned into exit codes."""
    code = (
        "import sys, typer; from hipcli.cli.commands.extract import extract\n"
        "from hipcli.errors import HipError\n"
        "app = typer.Typer(); app.command()(extract)\n"
        "try:\n    app(standalone_mode=False)\n"
        "except HipError as error:\n    print(error.message, file=sys.stderr); sys.exit(error.exit_code)\n"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, stdin=stdin, capture_output=True, timeout=60)
