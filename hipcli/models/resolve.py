"""From what the user calls a model to a local folder with it, and what its config.json alone says about it.

Never imports torch or transformers, so that a dry run stays quick.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipcli.disk import converted
from hipcli.errors import HipError
from hipcli.models import embedded, hub
from hipcli.models.architecture import MAX_LAYERS, rope_settings
from hipcli.models.families import check_family, text_config

DEFAULT_MODEL = embedded.NAME

_HUB_ID = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?")
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class ModelSource:
    """A model on this machine.

    `name` is what the user asked for; `path` a folder with config.json, tokenizer and *.safetensors; `revision` the
    commit of a Hugging Face model, the sha256 of the GGUF file it was made from, or "" for a plain folder.
    """

    name: str
    path: Path
    revision: str


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide memory, and how far positions go.

    `window` is the number of trained positions, None where config.json is silent; `rope` how rotary positions are
    scaled, "default" where they are not. `numbers` is how many numbers the weights are, None where their files do not
    say; `tied_numbers` how many of those are the embedding and the head, too.
    """

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    window: int | None
    weight_bytes: int
    rope: str = "default"
    numbers: int | None = None
    tied_numbers: int = 0

    def kv_bytes_per_token(self, bytes_per_value: int = 2) -> int:
        """Keys and values of one token in all layers (an upper bound where some layers slide)."""
        return 2 * self.layers * self.kv_heads * self.head_dim * bytes_per_value


def _say_nothing(_notice: str) -> None:
    pass


def resolve(name: str | None, say: Callable[[str], None] = _say_nothing, *, refresh: bool = False) -> ModelSource:
    """Find the model called `name`, fetching or converting it when this is the first time.

    `name` is None or DEFAULT_MODEL for the embedded default, a folder of safetensors, a GGUF file, or a Hugging Face
    id `org/name[@revision]`. A cached Hugging Face model is used without asking the network unless `refresh`, which
    also makes a damaged converted model anew. `say` gets one line before anything that takes long. Raises HipError
    when there is no such model or hip cannot read it.
    """
    if name is None or name == DEFAULT_MODEL:
        return ModelSource(DEFAULT_MODEL, embedded.fetch(say, repairs=refresh), embedded.SHA256)
    path = _path(name)
    try:
        if name and path.is_dir():
            _check_folder(path, name)
            return ModelSource(name, path, "")
        if path.is_file():
            return _from_file(path, name, say, refresh)
    except PermissionError as error:
        raise HipError(f"{name}: permission denied", "make it readable, or name another model") from error
    if match := _HUB_ID.fullmatch(name):
        return _from_hub(match[1], match[2], name, say, refresh)
    raise _unknown(name)


def local_folder(name: str) -> Path | None:
    """The folder that `resolve` would give without fetching or converting anything, None when it would have to.

    Raises HipError where `resolve` would refuse what is there.
    """
    if name == DEFAULT_MODEL:
        return embedded.cached()
    path = _path(name)
    if name and path.is_dir():
        folder: Path | None = path
    elif path.is_file():
        _require_gguf(path, name)
        folder = converted.folder_of(converted.sha256_of(path))
        folder = folder if folder.is_dir() else None
    elif match := _HUB_ID.fullmatch(name):
        folder = _cached(match[1], match[2])
    else:
        raise _unknown(name)
    if folder:
        with converted.explained(folder, name):
            _check_folder(folder, name)
    return folder


def _unknown(name: str) -> HipError:
    """That there is no model called `name`."""
    return HipError(
        f"{name}: no such model",
        f"give {DEFAULT_MODEL}, a folder with safetensors, a GGUF file, or a Hugging Face id such as "
        "Qwen/Qwen3-0.6B; `hip models list` shows what is here",
    )


def _path(name: str) -> Path:
    """The path that `name` may be; a ~ of nobody's is an ordinary character."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def shape(source: ModelSource) -> ModelShape:
    """Read a model's sizes from its config.json. Raises HipError when one that is needed is missing or absurd."""
    config = text_config(read_config(source.path, source.name))

    def number(*keys: str, default: int | None = None) -> int:
        for key in keys:
            value = config.get(key)
            if isinstance(value, int) and value > 0:
                return value
        if default is None:
            raise HipError(f"{source.name}: its config.json has no usable {keys[0]}")
        return default

    heads = number("num_attention_heads", "n_head")
    hidden = number("hidden_size", "n_embd")
    layers = number("num_hidden_layers", "n_layer")
    if layers > MAX_LAYERS:
        raise HipError(f"{source.name}: its config.json has no usable num_hidden_layers: {layers}")
    rope = rope_settings(config, source.name)
    files = weight_files(source.path)
    numbers, tied_numbers = _count_numbers(files)
    # Whether positions that are said by layer can be stretched, the decoder knows.
    by_layer = any(isinstance(value, dict) for value in (config.get("rope_parameters") or {}).values())
    family = str(config.get("model_type", "unknown"))
    # Attention of JetMoe gets the keys once for each expert, which makes as many heads as there are of queries.
    kv_heads = heads if family == "jetmoe" else number("num_key_value_heads", default=heads)
    return ModelShape(
        family=family,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=number("head_dim", "kv_channels", default=hidden // heads),
        window=_window(config, rope, source.name),
        weight_bytes=sum(file.stat().st_size for file in files),
        rope="default" if by_layer else rope["rope_type"],
        numbers=numbers,
        tied_numbers=tied_numbers,
    )


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The whole config.json of a model folder. Raises HipError when it is missing or not an object."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        ggufs = sorted(folder.glob("*.gguf"))
        hint = f"name the file: --model {ggufs[0]}" if ggufs else "a model folder holds config.json and *.safetensors"
        raise HipError(f"{name}: no config.json in it", hint) from error
    except (ValueError, RecursionError) as error:
        raise HipError(f"{name}: config.json is not valid JSON", "download the model again") from error
    if not isinstance(config, dict):
        raise HipError(f"{name}: config.json is not an object", "download the model again")
    if not isinstance(config.get("architectures") or [], list):
        raise HipError(f"{name}: its config.json has no usable architectures", "download the model again")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers will read, present or not; [] when there are none.

    Raises ValueError when the index of a model in several files is damaged.
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    if (folder / _INDEX).is_file():
        try:
            names = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()
            # Names only: an index must not point outside its own folder.
            return sorted({folder / Path(name).name for name in names})
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{_INDEX}: no weight_map") from error
    return []


def _count_numbers(files: list[Path]) -> tuple[int | None, int]:
    """How many numbers safetensors files hold, None where they do not say; and those of an embedding that is the head.

    Of numbers that are not floating-point, which is how quantised weights are stored, two bytes count as one.
    """
    numbers, embedding, head = 0, 0, False
    try:
        for path in files:
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size) if size < path.stat().st_size else b"")
            for name, tensor in header.items():
                if name == "__metadata__":
                    continue
                start, end = tensor["data_offsets"]
                count = math.prod(tensor["shape"]) if "F" in tensor["dtype"] else (end - start) // 2
                numbers += count
                head = head or name.endswith("lm_head.weight")
                embedding = count if name.endswith("embed_tokens.weight") else embedding
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None, 0  # loading says what is wrong
    return numbers, 0 if head else embedding


def _window(config: dict[str, Any], rope: dict[str, Any], name: str) -> int | None:
    keys = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")
    window: int | None = next((config[key] for key in keys if isinstance(config.get(key), int)), None)
    if not window or rope["rope_type"] not in ("dynamic", "longrope", "yarn"):
        return window
    key = "original_max_position_embeddings"
    original = rope.get(key) or config.get(key) or window
    if not isinstance(original, int):
        raise HipError(f"{name}: its config.json has no usable {key}", "download the model again")
    if rope["rope_type"] != "yarn":
        # Beyond it frequencies depend on the length of each forward pass, and chunks would disagree.
        return original
    factor = rope.get("factor", 1.0)
    if not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise HipError(f"{name}: its config.json has no usable factor of YaRN", "download the model again")
    # Some configs state the window before scaling, some after it.
    return max(window, round(original * factor))


def _from_file(path: Path, name: str, say: Callable[[str], None], refresh: bool) -> ModelSource:
    _require_gguf(path, name)
    sha256 = converted.sha256_of(path)
    folder = converted.converted(path, sha256, str(path.resolve()), say, repairs=refresh)
    return ModelSource(name, folder, sha256)


def _require_gguf(path: Path, name: str) -> None:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise HipError(f"{name}: not a GGUF file", "give a .gguf file, or the folder that holds the safetensors")


def _from_hub(
    repository: str, revision: str | None, name: str, say: Callable[[str], None], refresh: bool
) -> ModelSource:
    folder = None if refresh else _cached(repository, revision)
    if folder is None:
        folder = hub.fetch(repository, revision, lambda seen: check_family(read_config(seen, name), name), say)
        if not _is_complete(folder):
            raise HipError(
                f"{name}: no safetensors weights in the repository, or not all of them in the Hugging Face cache",
                f"use a safetensors version of the model, or run `hip models pull {name}` where there is a network",
            )
    _check_folder(folder, name)
    return ModelSource(name, folder, folder.name)


def _cached(repository: str, revision: str | None) -> Path | None:
    folder = hub.cached(repository, revision)
    return folder if folder and _is_complete(folder) else None


def _is_complete(folder: Path) -> bool:
    try:
        files = weight_files(folder)
    except ValueError:
        return False
    return bool(files) and all(file.is_file() for file in files) and (folder / "config.json").is_file()


def _check_folder(folder: Path, name: str) -> None:
    """Refuse what cannot be loaded before anything large is read."""
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise HipError(f"{name}: an adapter, not a whole model", "merge it into its base model first")
    check_family(read_config(folder, name), name)
    try:
        files = weight_files(folder)
    except ValueError as error:
        raise HipError(f"{name}: {_INDEX} is damaged", "download the model again") from error
    if missing := [file.name for file in files if not file.is_file()]:
        raise HipError(f"{name}: {missing[0]} is missing", "download the model again, completely")
    if files:
        return
    if any(any(folder.glob(pattern)) for pattern in ("*.bin", "*.pt", "*.pth")):
        raise HipError(
            f"{name}: its weights are pickled PyTorch files, which can run code when they are opened",
            "use a safetensors version of the model",
        )
    raise HipError(f"{name}: no *.safetensors in it", "a model folder holds config.json and *.safetensors")
