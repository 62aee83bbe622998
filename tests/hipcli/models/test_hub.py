"""Models on Hugging Face: every way that fetching one fails, and use of the local cache without a network."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_files import LLAMA, model_folder

from hipcli.errors import HipError
from hipcli.models.resolve import resolve


class HubAnswers(http.server.BaseHTTPRequestHandler):
    """Answers as huggingface.co does for models that cannot be downloaded."""

    def do_HEAD(self) -> None:
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

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a server that gives these answers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HubAnswers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def resolved(name: str, home: Path, **environment: str) -> str:
    """What `resolve` returns or raises, as text. In a new process: huggingface_hub reads its environment once."""
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
def test_answers_of_the_hub(endpoint: str, name: str, message: str, hint: str, tmp_path: Path) -> None:
    found, advice = resolved(name, tmp_path, HF_ENDPOINT=endpoint).split("|")
    assert message in found
    assert hint in advice


def test_offline(tmp_path: Path) -> None:
    message, hint = resolved("org/name", tmp_path, HF_HUB_OFFLINE="1").split("|")
    assert message == "org/name: not in the Hugging Face cache, and HF_HUB_OFFLINE forbids the network"
    assert "hip models pull org/name" in hint


def test_cached_model_needs_no_network(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "hub/models--org--name"
    model_folder(home / "snapshots" / commit, LLAMA)
    (home / "refs").mkdir()
    (home / "refs/main").write_text(commit)
    unreachable = "http://127.0.0.1:9"
    for name in ("org/name", f"org/name@{commit}"):
        assert f"revision='{commit}'" in resolved(name, tmp_path, HF_ENDPOINT=unreachable)
    (home / "snapshots" / commit / "model.safetensors").unlink()
    assert "not all of them in the Hugging Face cache" in resolved("org/name", tmp_path, HF_HUB_OFFLINE="1")


def test_impossible_id() -> None:
    with pytest.raises(HipError, match="nor a possible Hugging Face id"):
        resolve("some--where/over..there")
