"""Models of transformers with random weights, saved and loaded again by hip."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from hipcli.models.language_model import LoadedModel
from hipcli.models.load import load_model
from hipcli.models.resolve import ModelSource

CPU = torch.device("cpu")


def save(model: PreTrainedModel, folder: Path, **changes: Any) -> ModelSource:
    """The model in a folder, with `changes` to its config.json."""
    model.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return ModelSource("tiny", folder, "")


def load(source: ModelSource, dtype: torch.dtype = torch.float32) -> LoadedModel:
    return load_model(source, CPU, dtype)
