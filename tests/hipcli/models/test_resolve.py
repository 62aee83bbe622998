"""Model folders: what is read from config.json, and what is refused because of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from model_files import LLAMA, model_folder

from hipcli.errors import HipError
from hipcli.models.resolve import DEFAULT_MODEL, resolve, shape


def test_shape(tmp_path: Path) -> None:
    source = resolve(str(model_folder(tmp_path / "m", LLAMA)))
    assert (source.path, source.revision) == (tmp_path / "m", "")
    found = shape(source)
    assert (found.family, found.layers, found.hidden, found.heads) == ("llama", 4, 64, 8)
    assert (found.kv_heads, found.head_dim, found.window, found.weight_bytes) == (2, 8, 4096, 1000)
    assert found.kv_bytes_per_token() == 2 * 4 * 2 * 8 * 2
    assert found.kv_bytes_per_token(4) == 2 * found.kv_bytes_per_token()


def test_only_indexed_shards_count(tmp_path: Path) -> None:
    path = model_folder(tmp_path / "m", LLAMA, ("a.safetensors", "b.safetensors", "consolidated.safetensors"))
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert shape(resolve(str(path))).weight_bytes == 2000
    (path / "b.safetensors").unlink()
    with pytest.raises(HipError, match=r"b\.safetensors is missing"):
        resolve(str(path))


def test_text_part_of_gemma_with_its_defaults(tmp_path: Path) -> None:
    config = {
        "model_type": "gemma3",
        "architectures": ["Gemma3ForConditionalGeneration"],
        "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34},
    }
    found = shape(resolve(str(model_folder(tmp_path / "m", config))))
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
def test_window_of_scaled_rope(rope: dict[str, Any], window: int, tmp_path: Path) -> None:
    path = model_folder(tmp_path / "m", LLAMA | {"rope_scaling": rope})
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
def test_refused_from_config_alone(config: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(HipError, match=message) as caught:
        shape(resolve(str(model_folder(tmp_path / "m", config))))
    assert caught.value.message.startswith(f"{tmp_path / 'm'}: ")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HipError, match="pickled"):
        resolve(str(model_folder(tmp_path / "m", LLAMA, ("pytorch_model.bin",))))


def test_without_weights_or_config(tmp_path: Path) -> None:
    with pytest.raises(HipError, match=r"no \*\.safetensors"):
        resolve(str(model_folder(tmp_path / "m", LLAMA, ())))
    (tmp_path / "m/config.json").unlink()
    (tmp_path / "m/x.gguf").write_bytes(b"GGUF")
    with pytest.raises(HipError, match=r"no config\.json") as caught:
        resolve(str(tmp_path / "m"))
    assert "x.gguf" in (caught.value.hint or "")


def test_index_cannot_point_outside(tmp_path: Path) -> None:
    (tmp_path / "secret.safetensors").write_bytes(b"x")
    path = model_folder(tmp_path / "m", LLAMA, ())
    index = {"weight_map": {"x": "../secret.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(HipError, match="missing"):
        resolve(str(path))


def test_a_file_that_is_not_gguf(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"PK\3\4")
    with pytest.raises(HipError, match="not a GGUF file"):
        resolve(str(tmp_path / "m.gguf"))


@pytest.mark.parametrize("name", ["nothing-here", "./nothing/here/at/all", "a/b/c", "x.gguf", "./x", ""])
def test_unknown_name(name: str) -> None:
    with pytest.raises(HipError, match="no such model") as caught:
        resolve(name)
    assert DEFAULT_MODEL in (caught.value.hint or "")
