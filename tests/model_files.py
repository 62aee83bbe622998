"""Model folders for tests: config.json and files of weights that hold no weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}


def model_folder(path: Path, config: object, files: Sequence[str] = ("model.safetensors",)) -> Path:
    """Make a folder with this config.json (text is written as it is) and with `files` of 1000 bytes each."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name in files:
        (path / name).write_bytes(b"x" * 1000)
    return path


def unfinished(cache: Path) -> list[str]:
    """Names of folders of models in `cache` that were begun and not completed."""
    return [entry.name for entry in (cache / "models").iterdir() if entry.name.startswith(".")]
