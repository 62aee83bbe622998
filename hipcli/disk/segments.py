"""Segments: files with the keys and values of some tokens in all layers of a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hipcli.disk import files
from hipcli.disk.session_header import Segment

if TYPE_CHECKING:
    from torch import Tensor

    # Keys and values of some tokens, as they are stored: for each layer, its tensors by name.
    Snapshot = Sequence[Mapping[str, Tensor]]


def write_segment(path: Path, start: int, stop: int, snapshot: "Snapshot") -> Segment:
    """Write tokens [start, stop) to a file that is there whole or not at all. Raises OSError."""
    from safetensors.torch import save_file

    tensors = {
        f"{name}.{layer}": tensor.cpu().contiguous()
        for layer, stored in enumerate(snapshot)
        for name, tensor in stored.items()
    }
    temporary = path.with_name(files.PARTIAL + path.name)
    save_file(tensors, temporary)
    files.publish(temporary, path)
    return Segment(path.name, start, stop, path.stat().st_size)


def read_segment(path: Path) -> "Snapshot":
    """What was written. Raises ValueError where the file cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return _by_layer({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def is_whole(folder: Path, segment: Segment) -> bool:
    """Whether the file of a segment is there with all its bytes."""
    path = folder / segment.file
    return path.is_file() and path.stat().st_size == segment.bytes


def _by_layer(tensors: dict[str, "Tensor"]) -> list[dict[str, "Tensor"]]:
    """Tensors named "NAME.LAYER", grouped by layer and named NAME."""
    layers: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        name, _, layer = full_name.rpartition(".")
        layers.setdefault(int(layer), {})[name] = tensor
    return [layers[layer] for layer in sorted(layers)]
