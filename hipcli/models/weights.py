"""A model's weights, handed out by name: each in the shape that is expected, none left over."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hipcli.errors import HipError, first_line
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
    """The tensors of a model, each by name from a function that reads it, in one floating dtype and on one device.

    `unpacked_because` says why `linear` does not pack weights, None where it does.
    """

    def __init__(
        self,
        model: str,
        tensors: Mapping[str, Callable[[], Tensor]],
        device: torch.device,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.device, self.dtype = device, dtype
        self.unpacked_because = why_not_packed(device, dtype)
        self._model = model
        self._tensors = tensors
        self._used: set[str] = set()

    def tensor(self, name: str, *shape: int) -> Tensor:
        """The tensor called `name`. Raises HipError where it is missing or of another shape."""
        if name not in self._tensors:
            raise HipError(
                f"{self._model}: weights are missing, such as {name}", "download the model again, completely"
            )
        tensor = self._tensors[name]()
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            found = f"{tuple(tensor.shape)} in {str(tensor.dtype).removeprefix('torch.')}"
            raise HipError(
                f"{self._model}: {name} is {found}, not {shape} of floating-point numbers",
                "its config.json is not that of these weights: download the model again",
            )
        self._used.add(name)
        return tensor.to(self.device, self.dtype)

    def linear(self, parts: Sequence[tuple[str, int]], inputs: int, bias: bool) -> Linear:
        """One product for several linear layers (name, outputs) of the same `inputs`: their outputs side by side."""
        weight = _joined([self.tensor(f"{name}.weight", outputs, inputs) for name, outputs in parts])
        offset = _joined([self.tensor(f"{name}.bias", outputs) for name, outputs in parts]) if bias else None
        return Linear(weight, offset, packed=self.unpacked_because is None)

    def head(self, embedding: Tensor, *, tied: bool) -> Tensor:
        """The weight that makes logits: `embedding` itself where the two are tied.

        A head of its own that the file holds wins over a config.json that says tied, as in transformers.
        """
        if tied and "lm_head.weight" not in self._tensors:
            return embedding
        own = self.tensor("lm_head.weight", *embedding.shape)
        return embedding if tied and torch.equal(own, embedding) else own

    def require_all_used(self) -> None:
        """Raise HipError naming a tensor that nobody asked for: the model is another one than its config.json says."""
        if unused := sorted(self._tensors.keys() - self._used):
            what = f"{len(unused)} weights that its config.json does not explain, such as {unused[0]}"
            raise HipError(f"{self._model}: {what}", "hip cannot tell what they do; use another model")


@contextmanager
def open_weights(source: ModelSource, device: torch.device, dtype: torch.dtype) -> Iterator[Weights]:
    """The weights in a model's safetensors files while the context is open.

    Raises HipError for a file that cannot be read, here or when a tensor is asked for.
    """
    tensors: dict[str, Callable[[], Tensor]] = {}
    with ExitStack() as files:
        for path in weight_files(source.path):
            try:
                file = files.enter_context(safe_open(path, "pt"))
                stored = list(file.keys())
            except (OSError, SafetensorError) as error:
                raise _unreadable(source.name, path.name, error) from error
            for name in stored:
                if not name.startswith(_OTHER_TOWERS) and not name.endswith(_COMPUTED):
                    tensors[_plain(name)] = partial(_read, source.name, path.name, file, name)
        yield Weights(source.name, tensors, device, dtype)


def _read(model: str, place: str, file: Any, name: str) -> Tensor:
    try:
        tensor: Tensor = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise _unreadable(model, place, error) from error
    return tensor


def _unreadable(model: str, place: str, error: Exception) -> HipError:
    return HipError(f"{model}: {place} cannot be loaded: {first_line(error)}", "download the model again")


def _plain(stored: str) -> str:
    for prefix, plain in _PREFIXES:
        if stored.startswith(prefix):
            return plain + stored.removeprefix(prefix)
    return stored


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
