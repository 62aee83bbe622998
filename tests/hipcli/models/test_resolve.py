"""Model folders: what is read from config.json, and what is refused because of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from model_files import LLAMA, model_folder
from safetensors.torch import save_file

from hipcli.errors import HipError
from hipcli.models.resolve import DEFAULT_MODEL, local_folder, resolve, shape


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


def test_one_file_wins_over_an_index(tmp_path: Path) -> None:
    path = model_folder(tmp_path / "m", LLAMA)
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "gone.safetensors"}}))
    assert shape(resolve(str(path))).weight_bytes == 1000


@pytest.mark.parametrize("head", [True, False])
def test_numbers_are_counted_whatever_their_type(head: bool, tmp_path: Path) -> None:
    path = model_folder(tmp_path / "m", LLAMA)
    weights = {"model.embed_tokens.weight": torch.zeros(10, 4), "model.norm.weight": torch.zeros(4).bfloat16()}
    save_file(weights | ({"lm_head.weight": torch.zeros(10, 4)} if head else {}), path / "model.safetensors")
    found = shape(resolve(str(path)))
    assert (found.numbers, found.tied_numbers) == ((84, 0) if head else (44, 40))


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
        ({"rope_type": "dynamic", "factor": 8.0, "original_max_position_embeddings": 1024}, 1024),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}])
def test_window_of_scaled_rope(rope: dict[str, Any], window: int, beside: dict[str, Any], tmp_path: Path) -> None:
    path = model_folder(tmp_path / "m", LLAMA | beside | {"rope_scaling": rope})
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
        (LLAMA | {"num_hidden_layers": 10**9}, "no usable num_hidden_layers"),
        (LLAMA | {"architectures": 5}, "no usable architectures"),
        (LLAMA | {"rope_scaling": "linear"}, "no usable rope_scaling"),
        (LLAMA | {"rope_parameters": [1]}, "no usable rope_parameters"),
        (LLAMA | {"rope_scaling": {"type": "yarn", "factor": None}}, "no usable factor"),
        (LLAMA | {"rope_scaling": {"type": "yarn", "factor": "4"}}, "no usable factor"),
        (
            LLAMA | {"rope_scaling": {"type": "dynamic", "original_max_position_embeddings": "x"}},
            "no usable original_max_position_embeddings",
        ),
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


@pytest.mark.parametrize(
    "name", ["nothing-here", "./nothing/here/at/all", "a/b/c", "x.gguf", "./x", "", "~nobody-at-all/x/y"]
)
def test_unknown_name(name: str) -> None:
    for find in (local_folder, resolve):
        with pytest.raises(HipError, match="no such model") as caught:
            find(name)
        assert DEFAULT_MODEL in (caught.value.hint or "")
