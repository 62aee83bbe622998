"""Weights in safetensors, handed out by name: each in the shape that is expected, none left over."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hipcli.errors import HipError
from hipcli.models.linear import Linear, why_not_packed
from hipcli.models.resolve import ModelSource, weight_files

# Multimodal checkpoints keep the language model under other names, in old files and in new ones.
_PREFIXES = (
    ("language_model.model.", "model."),
    ("model.language_model.", "model."),
    ("language_model.lm_head.", "lm_head."),
)
_OTHER_TOWERS = ("vision_tower.", "model.vision_tower.", "multi_modal_projector.", "model.multi_modal_projector.")
_COMPUTED = ("rotary_emb.inv_freq",)  # old files hold what follows from the configuration


class Weights:
    """The tensors of a model on disk, in one floating dtype and on one device. A context manager.

    `packed` says whether `linear` packs weights; `unpacked_because` why not. Every method raises HipError for a file
    that cannot be read.
    """

    def __init__(self, source: ModelSource, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.unpacked_because = why_not_packed(device, dtype)
        self._source = source
        self._open = ExitStack()
        self._files: dict[str, tuple[Any, str]] = {}  # where a tensor is, and its name there
        self._used: set[str] = set()

    @property
    def packed(self) -> bool:
        return self.unpacked_because is None

    def __enter__(self) -> "Weights":
        for path in weight_files(self._source.path):
            try:
                file = self._open.enter_context(safe_open(path, "pt"))
            except (OSError, SafetensorError) as error:
                raise self._unreadable(path, error) from error
            for stored in file.keys():  # noqa: SIM118
                if not stored.startswith(_OTHER_TOWERS) and not stored.endswith(_COMPUTED):
                    self._files[_plain(stored)] = file, stored
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def tensor(self, name: str, *shape: int) -> Tensor:
        """The tensor called `name`. Raises HipError where it is missing or of another shape."""
        if name not in self._files:
            raise HipError(
                f"{self._source.name}: weights are missing, such as {name}", "download the model again, completely"
            )
        file, stored = self._files[name]
        try:
            tensor: Tensor = file.get_tensor(stored)
        except (OSError, SafetensorError) as error:
            raise self._unreadable(self._source.path, error) from error
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            found = f"{tuple(tensor.shape)} in {str(tensor.dtype).removeprefix('torch.')}"
            raise HipError(
                f"{self._source.name}: {name} is {found}, not {shape} of floating-point numbers",
                "its config.json is not that of these weights: download the model again",
            )
        self._used.add(name)
        return tensor.to(self.device, self.dtype)

    def linear(self, parts: Sequence[tuple[str, int]], inputs: int, bias: bool) -> Linear:
        """One product for several linear layers (name, outputs) of the same `inputs`: their outputs side by side."""
        weight = _joined([self.tensor(f"{name}.weight", outputs, inputs) for name, outputs in parts])
        offset = _joined([self.tensor(f"{name}.bias", outputs) for name, outputs in parts]) if bias else None
        return Linear(weight, offset, self.packed)

    def require_all_used(self, *, tied: bool) -> None:
        """Raise HipError naming a tensor that nobody asked for: the model is another one than its config.json says."""
        spare = {"lm_head.weight"} if tied else set()
        if unused := sorted(self._files.keys() - self._used - spare):
            what = f"{len(unused)} weights that its config.json does not explain, such as {unused[0]}"
            raise HipError(f"{self._source.name}: {what}", "hip cannot tell what they do; use another model")

    def _unreadable(self, path: Path, error: Exception) -> HipError:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        return HipError(f"{self._source.name}: {path.name} cannot be loaded: {first}", "download the model again")


def _plain(stored: str) -> str:
    for prefix, plain in _PREFIXES:
        if stored.startswith(prefix):
            return plain + stored.removeprefix(prefix)
    return stored


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
