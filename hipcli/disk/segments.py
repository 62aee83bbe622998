"""Segments: files with the keys and values of some tokens in all layers of a model."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from hipcli.disk import files
from hipcli.disk.session_header import Segment

if TYPE_CHECKING:
    from torch import Tensor

    # Keys and values of some tokens, as they are stored: for each layer, its tensors by name.
    Snapshot = Sequence[Mapping[str, Tensor]]

_AHEAD = 4  # segments that are checked while one is restored


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
    crc32 = files.crc32(temporary)
    files.publish(temporary, path)
    return Segment(path.name, start, stop, path.stat().st_size, crc32)


def read_segments(folder: Path, listed: Sequence[Segment]) -> Iterator["Snapshot"]:
    """What was written, one segment after the other. Raises ValueError where a file is not that or cannot be read."""
    pool = ThreadPoolExecutor(_AHEAD)
    checks: deque[Future[None]] = deque()
    unchecked = iter(listed)

    def begin(count: int) -> None:
        checks.extend(pool.submit(_check, folder, segment) for segment in islice(unchecked, count))

    try:
        begin(_AHEAD)
        for segment in listed:
            checks.popleft().result()
            begin(1)
            yield _read(folder / segment.file)
    finally:
        pool.shutdown(cancel_futures=True)


def _check(folder: Path, segment: Segment) -> None:
    """Raise ValueError unless a file has the checksum that it was written with; before there were any, all pass."""
    try:
        if segment.crc32 is not None and files.crc32(folder / segment.file) != segment.crc32:
            raise ValueError(f"{segment.file} is not what was written")
    except OSError as error:
        raise ValueError(f"{segment.file}: {error.strerror}") from error


def _read(path: Path) -> "Snapshot":
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
