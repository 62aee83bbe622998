"""--session and `hip cache` from the shell's point of view, with a model that only pretends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRuntime

from hipcli.disk import converted, files, paths, sessions
from hipcli.disk.session_header import Header
from hipcli.prompt import chat

Run = Callable[..., Any]


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("The mill burned down in March. " * 20)
    return path


def ask(hip: Run, note: Path, *options: str) -> Any:
    done = hip("ask", "--json", "-q", "When?", "--session", "mill", *options, note)
    assert done.code == 0, done.err
    return json.loads(done.out)["usage"]["cached_tokens"]


def test_second_run_takes_the_documents_from_the_session(hip: Run, fake: FakeRuntime, note: Path) -> None:
    assert ask(hip, note) == 0
    cached = ask(hip, note)
    assert cached > 128 and cached % 64 == 0
    assert fake.reads[0].endswith(fake.reads[1])
    whole, rest = (len(fake.tokenizer.encode(text, control=False)) for text in fake.reads)
    assert whole == cached + rest
    told = hip("ask", "-v", "-q", "Where?", "--session", "mill", note)
    assert f"({cached:,} from the session)" in told.err
    assert hip("summarize", "--session", "other", note).code == 0


def test_a_session_that_does_not_suit_is_refused_before_the_model_is_loaded(
    hip: Run, fake: FakeRuntime, note: Path
) -> None:
    ask(hip, note)
    loads = fake.loads
    done = hip("ask", "-q", "When?", "--session", "mill", "--top-k", "512", note)
    assert (done.code, fake.loads) == (2, loads)
    assert "hip: error: session mill: was made with top_k=1024, not 512" in done.err
    assert "`hip cache rm mill`" in done.err
    note.write_text("The mill stands.")
    assert "holds other documents" in hip("ask", "-q", "When?", "--session", "mill", note).err


def test_a_session_of_integers_goes_on_with_them(hip: Run, fake: FakeRuntime, note: Path) -> None:
    ask(hip, note, "--kv-cache", "int8")
    assert ask(hip, note) > 128
    assert [plan.kv_cache for plan in fake.plans] == ["int8", "int8"]
    done = hip("ask", "-q", "When?", "--session", "mill", "--kv-cache", "full", note)
    assert done.code == 2
    assert "session mill: was made with --kv-cache int8, not full" in done.err


def test_a_session_of_positions_stretched_otherwise_is_refused(hip: Run, fake: FakeRuntime, note: Path) -> None:
    fake.shape = replace(fake.shape, family="qwen2", window=200)
    assert ask(hip, note, "-n", "1") == 0
    assert ask(hip, note, "-n", "20") > 0, "as long, to a power of two"
    done = hip("ask", "-q", "When?", "--session", "mill", "-n", "150", note)
    assert "hip: error: session mill: was made with positions stretched 2 times, not stretched 4 times" in done.err


def test_options_that_make_no_sense(hip: Run, fake: FakeRuntime, note: Path) -> None:
    assert hip("ask", "-q", "When?", "--session", "../mill", note).code == 2
    assert hip("summarize", "--each", "--session", "mill", note).code == 2
    assert fake.settings is None


def test_dry_run_makes_no_session(hip: Run, fake: FakeRuntime, note: Path) -> None:
    assert hip("summarize", "--dry-run", "--session", "mill", note).code == 0
    assert not sessions.sessions_dir().exists()


def test_a_full_disk_costs_a_warning(hip: Run, fake: FakeRuntime, note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    done = hip("ask", "-q", "When?", "--session", "mill", note)
    assert (done.code, done.out) == (0, "All is well.\n")
    assert done.err.startswith("hip: warning: the session is not saved: ")


def test_a_session_in_use_is_said_to_be(hip: Run, fake: FakeRuntime, note: Path) -> None:
    ask(hip, note)
    with files.Lock.take(sessions.folder_of("mill")):
        done = hip("ask", "-q", "When?", "--session", "mill", note)
        assert done.code == 1
        assert "session mill: another run is using it" in done.err
        assert "a run is using it" in hip("cache", "rm", "mill").err
    assert hip("cache", "rm", "mill").code == 0


def converted_model(number: int, used: int, size: int = 1000) -> Path:
    folder = converted.models_dir() / f"{number:032x}-v1"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(size))
    (folder / "origin.json").write_text(json.dumps({"origin": f"/models/{number}.gguf", "sha256": "0"}))
    os.utime(folder, (used, used))
    return folder


def listed(hip: Run) -> dict[str, Any]:
    found = json.loads(hip("cache", "ls", "--json").out)
    assert found["bytes"] == sum(entry["bytes"] for entry in found["entries"])
    return {entry["name"]: entry for entry in found["entries"]}


def test_ls_shows_everything_last_used_first(hip: Run, fake: FakeRuntime, note: Path) -> None:
    assert hip("cache", "ls").out.endswith("0 in all, 0.0 MB\n")
    converted_model(1, used=1000)
    ask(hip, note)
    entries = listed(hip)
    assert list(entries) == ["mill", "/models/1.gguf"]
    assert (entries["mill"]["kind"], entries["/models/1.gguf"]["kind"]) == ("session", "model")
    assert entries["/models/1.gguf"]["used"] == "1970-01-01T00:16:40+00:00"
    assert entries["mill"]["bytes"] == files.size_of(sessions.folder_of("mill"))
    lines = hip("cache", "ls").out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "mill", "/models/1.gguf", "2"]


def test_rm_removes_by_name_and_nothing_when_a_name_is_wrong(hip: Run, fake: FakeRuntime, note: Path) -> None:
    ask(hip, note)
    folder = converted_model(1, used=1000)
    done = hip("cache", "rm", "mill", "mil")
    assert (done.code, done.out) == (2, "")
    assert "mil: not in the cache" in done.err
    done = hip("cache", "rm", "mill", "/models/1.gguf")
    assert done.code == 0
    assert "removed session mill (" in done.out and "removed model /models/1.gguf (0.0 MB)" in done.out
    assert not folder.exists() and not sessions.folder_of("mill").exists()
    assert listed(hip) == {}


def test_prune_takes_first_what_was_not_used_for_longest(hip: Run, fake: FakeRuntime, note: Path) -> None:
    for number in (1, 2, 3):
        converted_model(number, used=1000 * number, size=1_000_000)
    ask(hip, note)
    limit = str(listed(hip)["mill"]["bytes"] + 1_100_000)
    told = hip("cache", "prune", "--dry-run", "--max-size", limit).out
    assert told.splitlines()[:2] == [f"would remove model /models/{number}.gguf (1.0 MB)" for number in (1, 2)]
    assert told.endswith("2.0 MB to free\n")
    assert len(listed(hip)) == 4
    assert hip("cache", "prune", "--max-size", limit).out == told.replace("would remove", "removed").replace(
        "to free", "freed"
    )
    assert set(listed(hip)) == {"mill", "/models/3.gguf"}
    assert hip("cache", "prune", "--max-size", "1GB").out == "0.0 MB freed\n"
    hip("cache", "prune", "--max-size", "0")
    assert listed(hip) == {}


def test_prune_removes_what_killed_runs_left_and_spares_what_goes_on(hip: Run, fake: FakeRuntime, note: Path) -> None:
    ask(hip, note)
    orphan = sessions.folder_of("mill") / "640-704.safetensors"
    orphan.write_bytes(bytes(500))
    (sessions.sessions_dir() / "begun").mkdir()
    dead = converted.models_dir() / ".partial-dead"
    dead.mkdir(parents=True)
    (dead / "model.safetensors").write_bytes(bytes(2_000_000))
    with converted.work_folder() as alive:
        assert {name for name, entry in listed(hip).items() if entry["kind"] == "left over"} == {
            ".partial-dead",
            "begun",
            "mill/640-704.safetensors",
        }
        assert hip("cache", "prune").out.endswith("2.0 MB freed\n")
        assert alive.is_dir()
    assert not dead.exists() and not orphan.exists()
    assert list(listed(hip)) == ["mill"]
    assert ask(hip, note) > 0


def test_prune_never_touches_what_is_not_hips(hip: Run, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "model.safetensors").write_text("mine")
    models, kept = paths.private_dir(converted.models_dir()), paths.private_dir(sessions.sessions_dir())
    (models / "my-own-model").mkdir()
    (kept / "notes").mkdir()
    (kept / "notes" / "diary.txt").write_text("mine")
    (models / f"{7:032x}-v1").symlink_to(precious)
    done = hip("cache", "prune", "--max-size", "0")
    assert done.code == 0
    assert not (models / f"{7:032x}-v1").is_symlink()
    assert (precious / "model.safetensors").read_text() == "mine"
    assert (models / "my-own-model").is_dir()
    assert (kept / "notes" / "diary.txt").is_file()


@pytest.mark.parametrize(("text", "size"), [("10GB", 10**10), ("1.5 gib", 3 * 2**29), ("500M", 5 * 10**8), ("7", 7)])
def test_sizes(text: str, size: int) -> None:
    from hipcli.cli.sizes import in_bytes

    assert in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "ten", "1XB"])
def test_sizes_that_are_none(hip: Run, text: str) -> None:
    assert hip("cache", "prune", f"--max-size={text}").code == 2


def test_a_conversion_that_was_used_is_noted(tmp_path: Path) -> None:
    folder = converted_model(1, used=1000)
    converted.mark_used(folder)
    assert folder.stat().st_mtime > 10**9


@pytest.mark.model
@pytest.mark.slow
def test_interrupted_reading_ends_at_once_and_leaves_a_sound_session(tmp_path: Path) -> None:
    from hipcli.models.resolve import resolve

    cache = paths.private_dir(tmp_path / "cache")
    (cache / "models").symlink_to(resolve(None).path.parent)
    environment = os.environ | {"HIPCLI_CACHE_DIR": str(cache)}
    book = tmp_path / "book.txt"
    book.write_text("".join(f"On day {day} the mill ground {day * 37 % 101} sacks of rye.\n" for day in range(3000)))
    command = [sys.executable, "-m", "hipcli", "summarize", "--session", "mill", str(book)]
    header = cache / "sessions" / "mill" / "session.json"
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not header.is_file():
            time.sleep(0.1)
        time.sleep(8)  # the model is loaded, and reads for half a minute
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert time.monotonic() - begin < 10, "it takes a second where nothing else runs"
    kept = Header.loads(header.read_bytes())
    assert kept.saved % 2048 == 0
    assert not kept.complete


def test_renaming_and_moving_documents_keeps_their_session(
    hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path
) -> None:
    other = tmp_path / "b.txt"
    other.write_text("Nobody saw it. " * 20)

    def cached(*paths: Path) -> tuple[int, dict[str, Any], str]:
        done = hip("ask", "--json", "-q", "When?", "--session", "mill", *paths)
        assert done.code == 0, done.err
        found = json.loads(done.out)
        return found["usage"]["cached_tokens"], found["documents"], done.err

    assert cached(note, other)[0] == 0
    again, _, told = cached(note, other)
    assert again > 0 and told == ""
    (tmp_path / "z").mkdir()
    moved = note.rename(tmp_path / "z" / "renamed.txt")
    found, documents, told = cached(other, moved)
    assert found == again
    assert f"under other names; there {moved} is {note}" in told
    assert [document["path"] for document in documents] == [str(moved), str(other)], "in the order of the prompt"
    listed = json.loads(hip("cache", "ls", "--json").out)["entries"][0]["session"]
    assert [(kept["name"], kept["path"]) for kept in listed["documents"]] == [
        (str(note), str(moved)), (str(other), str(other)),
    ]  # fmt: skip
    moved.write_text("The mill stands.")
    done = hip("ask", "-q", "When?", "--session", "mill", moved, other)
    assert done.code == 2 and f"{note} has changed or is not among these" in done.err


def test_another_way_of_reading_the_same_document_is_told(hip: Run, note: Path) -> None:
    ask(hip, note)
    done = hip("summarize", "--session", "mill", "--param", "x=1", note)
    assert done.code == 2
    text = hip("ask", "-q", "When?", "--session", "mill", "--encoding", "utf-16-le", note)
    assert text.code == 2 and "read in another way" in text.err


def test_a_session_goes_on_with_the_date_that_it_was_made_on(
    hip: Run, fake: FakeRuntime, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = "{{ strftime_now('%Y-%m-%d') }} {% for message in messages %}{{ message.content }}{% endfor %} Answer:"

    def render(messages: Any) -> str:
        return chat.render(template, messages, {}, fake.tokenizer.now)

    monkeypatch.setattr(fake.tokenizer, "chat_template", template)
    monkeypatch.setattr(fake.tokenizer, "render", render)
    fake.tokenizer.now = datetime(2026, 11, 27)
    assert ask(hip, note) == 0
    fake.tokenizer.now = datetime(2026, 11, 28)
    assert ask(hip, note) > 0
    assert fake.reads[0].startswith("2026-11-27")
    assert hip("ask", "-q", "When?", note).code == 0


def test_a_session_says_what_it_is(hip: Run, note: Path) -> None:
    ask(hip, note)
    (line,) = (line for line in hip("cache", "ls").out.splitlines() if line.startswith("mill"))
    assert f"{date.today()}" in line and f"{note}; " in line and "tokens, smollm2-135m" in line
