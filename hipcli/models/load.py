"""A model on disk to a model in memory: by the own decoder where that knows the family, else by transformers."""

import json
from typing import Any

import torch
from hip_attention.rope_config import Yarn
from torch import Tensor

from hipcli.engine.allocator import keep_freed_memory
from hipcli.errors import ExitCode, HipError
from hipcli.models import architecture
from hipcli.models.architecture import NotOurs
from hipcli.models.decoder import Decoder
from hipcli.models.families import text_config
from hipcli.models.language_model import LoadedModel
from hipcli.models.plain import Reference, plain_forward
from hipcli.models.resolve import ModelSource, read_config
from hipcli.models.weights import open_weights


@torch.inference_mode()
def load_model(source: ModelSource, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    """The model at `source`. The process keeps the memory that it frees from then on (see `allocator`).

    Raises HipError when it cannot be loaded, or does not fit the device (exit code 3).
    """
    keep_freed_memory()
    try:
        config = read_config(source.path, source.name)
        try:
            ours = architecture.read(config, source.name)
        except NotOurs as reason:
            return _load_plugin(source, device, dtype, str(reason))
        return _load_decoder(source, ours, config, device, dtype)
    except (torch.OutOfMemoryError, MemoryError) as error:
        place = device if device.type == "cuda" else "this machine"
        raise HipError(
            f"{source.name}: the model does not fit on {place}",
            "use a smaller model" + (", or --device cpu" if device.type == "cuda" else ""),
            ExitCode.DOES_NOT_FIT,
        ) from error


def _load_decoder(
    source: ModelSource,
    ours: architecture.Architecture,
    config: dict[str, Any],
    device: torch.device,
    dtype: torch.dtype,
) -> LoadedModel:
    with open_weights(source, device, dtype) as weights:
        decoder = Decoder(ours, weights)
        weights.require_all_used()

    @torch.inference_mode()
    def reference(ids: Tensor, yarn: Yarn | None) -> Reference:
        with open_weights(source, device, dtype) as again:
            return plain_forward(ours, again, ids, yarn)

    # A multimodal model may name them beside its text part or in it.
    stops = _generation_stops(source).union(*(_ids(x.get("eos_token_id")) for x in (config, text_config(config))))
    because = f"{ours.family} models are run by hip's own decoder"
    return LoadedModel(source.name, decoder, stops, reference, "decoder", because, weights.unpacked_because)


def _load_plugin(source: ModelSource, device: torch.device, dtype: torch.dtype, because: str) -> LoadedModel:
    from hipcli.models.plugin import load_plugin
    from hipcli.models.quiet import quiet_transformers

    quiet_transformers()
    model, stops = load_plugin(source, device, dtype)
    why = "weights are laid out by transformers"
    return LoadedModel(source.name, model, frozenset(stops), model.reference, "transformers", because, why)


def _generation_stops(source: ModelSource) -> frozenset[int]:
    """Tokens that end an answer by generation_config.json, if there is one that can be read."""
    try:
        settings = json.loads((source.path / "generation_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return frozenset()
    except ValueError as error:
        raise HipError(
            f"{source.name}: generation_config.json is not valid JSON", "download the model again"
        ) from error
    return _ids(settings.get("eos_token_id")) if isinstance(settings, dict) else frozenset()


def _ids(value: object) -> frozenset[int]:
    """Token ids from a number, a list of them, or nothing."""
    values = value if isinstance(value, list) else [value]
    return frozenset(token for token in values if isinstance(token, int))
