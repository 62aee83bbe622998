import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import hipcli.doctor
from hipcli.cli.commands.doctor import doctor
from hipcli.cli.commands.models import app as models
from hipcli.disk import converted
from hipcli.doctor import checks
from hipcli.models import embedded

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "num_attention_heads": 8,
    "max_position_embeddings": 4096,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HIPCLI_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache"


def run(*arguments, broken=False):
    app = typer.Typer()
    app.command()(doctor)
    app.add_typer(models, name="models")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == (1 if broken else 0), result.output
    return result.stdout


def model_folder(folder, config=LLAMA):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"x" * 2_000_000)
    return folder


def hub_model(tmp_path, name, config=LLAMA, branch="main"):
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    model_folder(home / "snapshots" / commit, config)
    (home / "refs").mkdir()
    (home / "refs" / branch).write_text(commit)


def found(model="smollm2-135m"):
    return {check.name: check for check in checks(model)}


class TestDoctor:
    def test_page(self):
        lines = run("doctor").splitlines()
        names = [line[6:].split()[0] for line in lines if line[:4].strip()]
        assert names == [
            *("hip", "python", "torch", "triton", "tokenizers", "transformers", "pypdfium2", "pypdf", "ocr"),
            *("cpu", "gpu", "weights", "memory", "model", "cache", "config"),
        ]

    def test_json_of_a_broken_library(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "transformers", None)
        report = json.loads(run("doctor", "--json", broken=True))
        assert report["ok"] is False
        broken = [check for check in report["checks"] if check["status"] == "FAIL"]
        assert [check["name"] for check in broken] == ["transformers"]
        assert "cannot be imported" in broken[0]["value"]

    def test_without_torch_the_rest_is_still_told(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        report = found()
        assert report["torch"].status == "FAIL"
        assert "cpu" not in report
        assert report["cache"].status == "ok"

    def test_default_not_fetched_is_no_failure(self, cache):
        check = found()["model"]
        assert (check.status, check.hint) == ("warn", "hip models pull smollm2-135m")
        assert not cache.exists()  # looking changes nothing

    def test_default_in_the_cache(self):
        model_folder(converted.folder_of(embedded.SHA256))
        check = found()["model"]
        assert check.status == "ok"
        assert check.value == "smollm2-135m: llama, window 4,096 tokens, 0.00 GB"

    def test_model_that_cannot_be_used(self, tmp_path):
        path = model_folder(tmp_path / "bert", {"model_type": "bert"})
        check = found(str(path))["model"]
        assert check.status == "FAIL"
        assert "not a model that writes text" in check.value

    def test_a_model_that_there_cannot_be(self):
        check = found("nope")["model"]
        assert (check.status, check.value) == ("FAIL", "nope: no such model")
        assert "Qwen/Qwen3-0.6B" in check.hint

    def test_what_the_first_run_would_do(self, tmp_path):
        (tmp_path / "m.gguf").write_bytes(b"GGUF...")
        (tmp_path / "m.zip").write_bytes(b"PK\3\4...")
        assert found(str(tmp_path / "m.gguf"))["model"].value.endswith(
            "m.gguf: not converted yet; the first run does that"
        )
        assert found("org/name")["model"].value == "org/name: not here yet; the first run fetches it"
        assert "not a GGUF file" in found(str(tmp_path / "m.zip"))["model"].value

    def test_a_damaged_converted_model_says_how_to_repair_it(self):
        folder = model_folder(converted.folder_of(embedded.SHA256))
        assert "`hip models pull smollm2-135m` makes it anew" in found()["self-check"].hint
        (folder / "config.json").unlink()
        assert "`hip models pull smollm2-135m` makes it anew" in found()["model"].hint

    def test_a_model_that_does_not_load_fails_the_self_check(self, tmp_path):
        path = model_folder(tmp_path / "damaged")
        report = found(str(path))
        assert (report["model"].status, report["self-check"].status) == ("ok", "FAIL")

    @pytest.mark.model
    def test_the_embedded_model_passes_the_self_check(self):
        embedded.fetch(print)
        check = found()["self-check"]
        assert check.status == "ok" and check.value.endswith("by the own decoder")

    def test_a_self_check_that_takes_too_much_memory_is_not_begun(self, tmp_path, monkeypatch):
        monkeypatch.setattr(hipcli.doctor, "available_memory", lambda device: 10**6)
        assert found(str(model_folder(tmp_path / "big")))["self-check"].status == "warn"

    def test_cache_in_the_way(self, cache):
        cache.write_text("a file")
        assert found()["cache"].status == "FAIL"
        run("doctor", broken=True)

    def test_little_memory(self, monkeypatch):
        monkeypatch.setattr(hipcli.doctor, "available_memory", lambda device: 10**8)
        assert found()["memory"].status == "warn"


class TestModels:
    def test_nothing_here_yet(self):
        lines = run("models", "list").splitlines()
        assert lines[0].split() == ["NAME", "WINDOW", "SIZE"]
        assert len(lines) == 2
        assert "not fetched yet: hip models pull" in lines[1]

    def test_what_is_listed(self, tmp_path):
        model_folder(converted.folder_of(embedded.SHA256))
        gguf = model_folder(converted.folder_of("ab" * 32))
        (gguf / "origin.json").write_text(json.dumps({"origin": "/data/my.gguf", "sha256": "ab" * 32}))
        hub_model(tmp_path, "org/good")
        hub_model(tmp_path, "org/branch", branch="v2")
        hub_model(tmp_path, "org/bert", {"model_type": "bert"})
        report = json.loads(run("models", "list", "--json"))["models"]
        assert [(model["name"], model["kind"]) for model in report] == [
            ("smollm2-135m", "embedded"),
            ("/data/my.gguf", "gguf"),
            ("org/branch@v2", "huggingface"),
            ("org/good", "huggingface"),
        ]
        assert all(model["cached"] and model["weight_bytes"] == 2_000_000 for model in report)
        assert report[3]["window"] == 4096
        table = run("models", "list").splitlines()
        assert table[4].split() == ["org/good", "4,096", "0.00", "GB"]

    def test_damaged_notes_do_not_stop_the_list(self, tmp_path):
        gguf = model_folder(converted.folder_of("ab" * 32))
        (gguf / "origin.json").write_text("{")
        hub_model(tmp_path, "org/good")
        assert "org/good" in run("models", "list")

    def test_pull_prints_the_folder(self, cache):
        folder = model_folder(converted.folder_of(embedded.SHA256))
        assert run("models", "pull") == f"{folder}\n"

    def test_listing_needs_no_torch(self, tmp_path):
        program = (
            "import sys; from hipcli.models.installed import installed; print(*(m.name for m in installed()));"
            "assert not {'torch', 'transformers'} & set(sys.modules)"
        )
        environment = os.environ | {"HF_HOME": str(tmp_path)}
        result = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        assert result.stdout == "smollm2-135m\n"
