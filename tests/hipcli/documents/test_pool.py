"""Reader processes: a document that hangs, crashes or takes too much memory costs that document and no other."""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from read_paths import read

from hipcli.documents.document import Document
from hipcli.documents.inputs import read_documents
from hipcli.documents.options import ReadOptions
from hipcli.documents.pool import Pool, Request
from hipcli.documents.reading import ReadingError

ROOT = Path(__file__).parents[3]
make_pdf = runpy.run_path(str(ROOT / "tests/data/make_pdf.py"))["make_pdf"]


def pdf(*objects: bytes) -> bytes:
    """A PDF of one page, object 3, made of `objects` from number 4 on; readers rebuild the table of objects."""
    fixed = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>>>",
    ]
    numbered = (b"%d 0 obj\n%s\nendobj\n" % (number, body) for number, body in enumerate([*fixed, *objects], 1))
    return b"%PDF-1.7\n" + b"".join(numbered) + b"trailer<</Root 1 0 R>>\n%%EOF"


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(data), data)


def endless() -> bytes:
    """A page of forms in forms, ten each, thirty deep."""
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F %d 0 R>>>>"
    forms = [stream(b"/F Do " * 10, form % number) for number in range(6, 36)]
    return pdf(stream(b"/F Do"), *forms, stream(b"0 0 1 1 re f", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]"))


def enormous() -> bytes:
    """A page whose contents are a thousand million blanks, compressed twice."""
    once = zlib.compressobj(9)
    part = b" " * 2**20
    data = b"".join(once.compress(part) for _ in range(1024)) + once.flush()
    return pdf(stream(zlib.compress(data, 9), b"/Filter[/FlateDecode/FlateDecode]"))


def test_a_document_without_end_is_stopped_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")
    (tmp_path / "b.pdf").write_bytes(endless())
    (tmp_path / "c.txt").write_text("after")
    start = time.monotonic()
    first, second, third = read(tmp_path, seconds=1)
    assert time.monotonic() - start < 5
    assert isinstance(first, Document) and isinstance(third, Document)
    assert (first.pages[0].text, third.pages[0].text) == ("before", "after")
    assert isinstance(second, ReadingError)
    assert second.message == f"{tmp_path}/b.pdf: reading it was stopped after 1 seconds"
    assert second.hint and "--read-seconds" in second.hint


def test_a_document_that_takes_too_much_memory_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "b.pdf").write_bytes(enormous())
    (tmp_path / "c.txt").write_text("after")
    first, second = read(tmp_path, memory=256)
    assert isinstance(first, ReadingError)
    assert first.message == f"{tmp_path}/b.pdf: reading it takes more than 0.25 GiB of memory"
    assert first.hint and "--read-memory" in first.hint
    assert isinstance(second, Document)


def test_a_member_that_has_to_be_stopped_costs_that_member_alone(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("1.txt", "before")
        archive.writestr("2.pdf", endless())
        archive.writestr("3.txt", "after")
        archive.writestr("4.pdf", endless())
    first, second, third, fourth = read(tmp_path / "all.zip", seconds=1)
    assert [item.path for item in (first, third)] == [f"{tmp_path}/all.zip/{name}" for name in ("1.txt", "3.txt")]  # type: ignore[union-attr]
    assert [item.message for item in (second, fourth)] == [  # type: ignore[union-attr]
        f"{tmp_path}/all.zip/{name}: reading it was stopped after 1 seconds" for name in ("2.pdf", "4.pdf")
    ]


def test_a_crash_costs_one_document(tmp_path: Path) -> None:
    (tmp_path / "b.pdf").write_bytes(endless())
    (tmp_path / "c.txt").write_text("after")
    with Pool(ReadOptions(), 1) as pool:
        requests = [
            Request(os.open(tmp_path / name, os.O_RDONLY), str(tmp_path / name), name, True)
            for name in ("b.pdf", "c.txt")
        ]
        reader = pool._readers[0]

        def crash() -> None:
            while reader._process is None:
                time.sleep(0.01)
            time.sleep(0.5)
            os.kill(reader._process.pid, signal.SIGSEGV)

        threading.Thread(target=crash).start()
        first, second = pool.read(requests)
    assert isinstance(first, ReadingError) and first.message == "b.pdf: its reader crashed (SIGSEGV)"
    assert isinstance(second, Document)


def test_results_come_in_order_and_before_all_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "b.pdf").write_bytes(endless())
    results = read_documents([str(tmp_path)], ReadOptions(seconds=60), sys.stdin.buffer)
    start = time.monotonic()
    first = next(results)
    assert isinstance(first, Document) and first.pages[0].text == "first"
    results.close()
    assert time.monotonic() - start < 5


@pytest.mark.slow
def test_interrupt_ends_the_readers_too(tmp_path: Path) -> None:
    (tmp_path / "b.pdf").write_bytes(endless())
    process = subprocess.Popen([sys.executable, "-m", "hipcli", "extract", tmp_path / "b.pdf"], stderr=subprocess.PIPE)
    tasks = Path(f"/proc/{process.pid}/task")
    while not (found := [child for task in tasks.glob("*/children") for child in task.read_text().split()]):
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    assert process.stderr is not None and process.stderr.read() == b""
    time.sleep(0.2)
    assert not any(Path(f"/proc/{child}").exists() for child in found)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_reader_ends_with_its_parent_whatever_it_does(tmp_path: Path) -> None:
    # A power of that size takes minutes, and no other thread runs meanwhile.
    reader = "from hipcli.documents.worker import end_with_parent; end_with_parent(); print(flush=True); 3 ** 10**9"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {reader!r}]).wait()"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    until = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    if Path(f"/proc/{child}").exists():
        os.kill(int(child), signal.SIGKILL)
        pytest.fail("the reader is still there")


def test_the_start_of_a_process_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("text")
    slow = tmp_path / "python"
    slow.write_text(f'#!/bin/sh\nsleep 1.5\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    (result,) = read(tmp_path / "a.txt", seconds=1)
    assert isinstance(result, Document)


def test_a_module_beside_the_documents_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("import os; os._exit(9)")
    monkeypatch.chdir(tmp_path)
    (result,) = read("json.py")
    assert isinstance(result, Document)
