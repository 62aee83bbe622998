"""How sure a number is: 95 % confidence intervals."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

Z = 1.959964  # 97.5 % of a normal distribution lies below it
RESAMPLES = 1000

Kind = Literal["wilson", "normal", "bootstrap"]


@dataclass(frozen=True)
class Estimate:
    """A mean of `n` values with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float], kind: Kind) -> Estimate:
    """The mean of `values` (not empty) with an interval of the kind that suits them."""
    return {"wilson": wilson, "normal": normal, "bootstrap": bootstrap}[kind](values)


def wilson(values: Sequence[float]) -> Estimate:
    """For shares: values are 0 or 1 (Wilson 1927), right at 0 % and 100 % and for few trials too."""
    n, share = len(values), fmean(values)
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def normal(values: Sequence[float]) -> Estimate:
    """For means of many values, such as one a token: the mean plus and minus 1.96 standard errors."""
    half = Z * standard_error(values)
    return Estimate(fmean(values), fmean(values) - half, fmean(values) + half, len(values))


def bootstrap(values: Sequence[float]) -> Estimate:
    """For bounded scores of few items: percentiles of the means of 1000 resamples, drawn with a fixed seed."""
    draw, n = random.Random(0), len(values)
    means = sorted(fmean(draw.choices(values, k=n)) for _ in range(RESAMPLES))
    return Estimate(fmean(values), means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1], n)


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean; 0 for a single value, of which nothing is known."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
