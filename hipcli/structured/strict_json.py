"""JSON as the standard has it, where Python's own reader would let more through."""

import json
import math
from typing import Any, NoReturn


def loads(text: str) -> Any:
    """The value of a JSON text. Raises ValueError for what no JSON can say, keys that stand in an object twice among
    it, and for numbers that would become infinite.
    """
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_refuse, object_pairs_hook=_single)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
