"""RoPE of a model: its frequencies and how they are scaled. Imports torch only to compute them."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

RopeKind = Literal["default", "linear", "llama3", "yarn"]


@dataclass(frozen=True)
class RopeConfig:
    """Frequencies of RoPE: theta ** (-2 i / head_dim) for pair i of dimensions, scaled as `kind` says.

    "linear" divides all of them by `factor` (arXiv 2306.15595). "llama3" divides those whose wavelength exceeds
    `original / low_freq_factor` positions, leaves those below `original / high_freq_factor`, and blends in between.
    "yarn" (arXiv 2309.00071, section 3) divides dimensions of fewer than `beta_slow` rotations over `original`
    positions, leaves those of more than `beta_fast` rotations, blends in between, and multiplies cosine and sine by
    `attention_factor`, which is 0.1 ln(factor) + 1 where it is None.
    `original` is the number of positions that the model was trained on before scaling.
    """

    theta: float = 10_000.0
    kind: RopeKind = "default"
    factor: float = 1.0
    original: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    truncate: bool = True

    def stretched(self, yarn: "Yarn | None") -> "RopeConfig":
        """The same positions stretched by `yarn`. Raises ValueError where they are scaled already."""
        if yarn is None:
            return self
        if self.kind != "default":
            raise ValueError(f"rotary positions are already scaled ({self.kind})")
        return replace(self, kind="yarn", factor=yarn.factor, original=yarn.original)

    def frequencies(self, head_dim: int) -> "tuple[Tensor, float]":
        """Angle per position, float32 [head_dim / 2], and the factor of cosine and sine."""
        import torch

        plain = 1.0 / self.theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
        if self.kind == "linear":
            return plain / self.factor, 1.0
        if self.kind == "llama3":
            rotations = self.original * plain / (2 * math.pi)  # over the original window
            share = ((rotations - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)).clamp(0, 1)
            return plain * (share + (1 - share) / self.factor), 1.0
        if self.kind == "yarn":
            low, high = (self._dimension_of(rotations, head_dim) for rotations in (self.beta_fast, self.beta_slow))
            if self.truncate:
                low, high = math.floor(low), math.ceil(high)
            low, high = max(low, 0), min(high, head_dim - 1)
            share = (torch.arange(head_dim // 2) - low) / max(high - low, 1e-3)
            share = share.clamp(0, 1)
            scale = self.attention_factor
            if scale is None:
                scale = 0.1 * math.log(self.factor) + 1.0 if self.factor > 1 else 1.0
            return plain * (1 - share + share / self.factor), scale
        return plain, 1.0

    def _dimension_of(self, rotations: float, head_dim: int) -> float:
        """The pair of dimensions with this many rotations over the original window."""
        return head_dim * math.log(self.original / (rotations * 2 * math.pi)) / (2 * math.log(self.theta))


@dataclass(frozen=True)
class Yarn:
    """The `original` positions that a model was trained on, stretched over `factor` times as many by YaRN."""

    factor: float
    original: int

    @property
    def length(self) -> int:
        """Positions in all."""
        return round(self.factor * self.original)
