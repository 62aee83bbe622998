"""Positions stretched by YaRN (arXiv 2309.00071), so that a model reads farther than it was trained to."""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Yarn:
    """The `original` positions that a model was trained on, stretched over `factor` times as many."""

    factor: float
    original: int

    @property
    def length(self) -> int:
        """Positions in all."""
        return round(self.factor * self.original)

    def rotary(self, model: "PreTrainedModel") -> "nn.Module":
        """The rotary module that the model would have if its configuration asked for this; it is left as it is.

        Raises ValueError where the model has no rotary positions, several kinds of them, or scaled ones.
        """
        config = copy.deepcopy(model.config.get_text_config(decoder=True))
        plain = getattr(config, "rope_parameters", None) or {}
        if plain.get("rope_type") != "default":
            raise ValueError(f"{config.model_type} positions are not rotary, alike in all layers and unscaled")
        yarn = {"rope_type": "yarn", "factor": self.factor, "original_max_position_embeddings": self.original}
        config.rope_parameters = {**plain, **yarn}
        rotary: nn.Module = type(model.get_decoder().rotary_emb)(config=config).to(model.device)
        return rotary
