"""The models on this machine that hip can use: the embedded default, converted GGUF files, the Hugging Face cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hipcli.disk import converted
from hipcli.errors import HipError
from hipcli.models import embedded, hub
from hipcli.models.resolve import DEFAULT_MODEL, ModelShape, ModelSource, local_folder, shape


@dataclass(frozen=True)
class Installed:
    """A model by the name that `--model` takes. `path` and `shape` are None for the default not fetched yet."""

    name: str
    kind: Literal["embedded", "gguf", "huggingface"]
    path: Path | None
    shape: ModelShape | None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "cached": self.path is not None,
            "path": None if self.path is None else str(self.path),
            "family": self.shape and self.shape.family,
            "window": self.shape and self.shape.window,
            "weight_bytes": self.shape and self.shape.weight_bytes,
        }


def installed() -> Iterator[Installed]:
    """The default first, then the others by name. Models that hip cannot use are left out."""
    folder = embedded.cached()
    yield Installed(DEFAULT_MODEL, "embedded", folder, _shape(folder) if folder else None)
    for model in converted.all_converted():
        if model.sha256 != embedded.SHA256 and (found := _shape(model.folder)):
            yield Installed(model.origin, "gguf", model.folder, found)
    for name in hub.cached_names():
        try:
            path = local_folder(name)
        except HipError:
            continue
        if path and (found := _shape(path)):
            yield Installed(name, "huggingface", path, found)


def _shape(folder: Path) -> ModelShape | None:
    try:
        return shape(ModelSource(folder.name, folder, ""))
    except HipError:
        return None
