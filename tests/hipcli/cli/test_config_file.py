"""The configuration file: what wins over what, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRuntime

from hipcli.cli import config_file

Run = Callable[..., Any]


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("The mill burned down in March.\n")
    return path


@pytest.fixture
def configured() -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = config_file.default_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_flag_over_environment_over_file_over_default(
    hip: Run, fake: FakeRuntime, note: Path, configured: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def top_k(*arguments: str) -> int:
        assert hip("summarize", *arguments, note).code == 0
        assert fake.settings is not None
        return fake.settings.hip.top_k

    assert top_k() == 1024
    configured("top_k = 2048\n")
    assert top_k() == 2048
    monkeypatch.setenv("HIPCLI_TOP_K", "512")
    assert top_k() == 512
    assert top_k("--top-k", "256") == 256
    monkeypatch.setenv("HIPCLI_TOP_K", "")
    assert top_k() == 2048


def test_a_table_is_for_one_command(hip: Run, fake: FakeRuntime, note: Path, configured: Callable[[str], Path]) -> None:
    configured('summarize = {max_tokens = 7}\nmax_tokens = 9\n[ask]\nprompt = "ask"\n')
    hip("summarize", note)
    assert fake.settings.max_tokens == 7
    hip("ask", "-q", "Who?", note)
    assert fake.settings.max_tokens == 9


def test_every_kind_of_value(hip: Run, fake: FakeRuntime, note: Path, configured: Callable[[str], Path]) -> None:
    configured(
        'model = "other"\ntemperature = 1\ntop_p = 0.5\ninclude = ["*.md"]\nno_gitignore = true\n'
        'selector = "representative"\n'
    )
    assert hip("summarize", note).code == 0
    settings = fake.settings
    assert settings.model == "other"
    assert (settings.temperature, settings.top_p) == (1.0, 0.5)
    assert settings.read_options.include == ("*.md",)
    assert settings.read_options.gitignore is False
    assert settings.hip.selector == "representative"


def test_json_is_called_as_its_flag(hip: Run, fake: FakeRuntime, note: Path, configured: Callable[[str], Path]) -> None:
    configured("json = true\n")
    assert hip("summarize", note).out.startswith("{")


def test_help_shows_what_is_configured(hip: Run, configured: Callable[[str], Path]) -> None:
    configured("top_k = 4096\nsink = 128\n")
    out = hip("ask", "--help").out
    assert "default: 4096" in out and "default: 128" in out


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("topk = 5", "unknown key topk"),
        ("[summarize]\nlenght = 'short'", "unknown key summarize.lenght"),
        ("[ask]\nlength = 'short'", "unknown key ask.length"),
        ("[sumarize]\nlength = 'short'", "unknown key sumarize: there is no such command, and no option is a table"),
        ("[sumarize]\nlength = 'short'", "did you mean [summarize]?"),
        ("[attention]\ntop_k = 5", "unknown key attention: there is no such command"),
        ("[attention]\ntop_k = 5", "tables are for commands: ask, chat,"),
        ("ask = 5", "ask is a command and must be a table, not 5"),
        ("ask = 5", "write [ask] on a line of its own"),
        ("attention = 'dense'", 'attention cannot be for every command: for hip eval it must be a list, not "dense"'),
        ("attention = 'dense'", "write it below the commands that it is for: [summarize], [ask], [chat]"),
        ("attention = ['dense']", "for hip summarize it must be text in quotes"),
        ("attention = ['dense']", "write it below the commands that it is for: [eval]"),
        ("top_k = 'many'", 'top_k must be a whole number, not "many"'),
        ("top_k = true", "top_k must be a whole number, not true"),
        ("top_k = 1.5", "top_k must be a whole number, not 1.5"),
        ("top_k = -1", "top_k must be at least 0, not -1"),
        ("[ask]\ntop_p = 2.0", "ask.top_p must be at most 1, not 2.0"),
        ("json = 1", "json must be true or false, not 1"),
        ("model = 3", "model must be text in quotes, not 3"),
        ("include = '*.md'", 'include must be a list, not "*.md"'),
        ("include = [1]", "include must be text in quotes, not 1"),
        ("attention = 'sparse'", 'attention must be one of hip, dense, streaming, not "sparse"'),
        ("model == 3", "line 1"),
        ("model = 1979-05-27", "model must be text in quotes"),
    ],
)
def test_faults_name_file_and_key(
    hip: Run, fake: FakeRuntime, note: Path, configured: Callable[[str], Path], text: str, what: str
) -> None:
    path = configured(text)
    done = hip("summarize", note)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"hip: error: {path}: ")
    assert what in done.err


def test_a_likely_key_is_suggested(hip: Run, note: Path, configured: Callable[[str], Path]) -> None:
    configured("topk = 5")
    assert "did you mean top_k?" in hip("summarize", note).err


def test_another_file(hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text("top_k = 64\n")
    assert hip("--config", other, "summarize", note).code == 0
    assert fake.settings.hip.top_k == 64
    monkeypatch.setenv("HIPCLI_CONFIG", str(tmp_path / "missing.toml"))
    done = hip("summarize", note)
    assert done.code == 2
    assert "missing.toml: no such file" in done.err


def test_a_configuration_beside_the_documents_is_not_read(
    hip: Run, fake: FakeRuntime, note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config_file.toml").write_text("top_k = 64\n")
    monkeypatch.chdir(tmp_path)
    hip("summarize", note)
    assert fake.settings.hip.top_k == 1024
