"""Dataclasses from JSON whose values have the types that the fields say."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def build(kind: type[T], content: Mapping[str, Any]) -> T:
    """A dataclass with these fields. Raises TypeError for one that is missing, unknown or not of its type."""
    for name, hint in get_type_hints(kind).items():
        if name in content and not _is(content[name], hint):
            raise TypeError(f"{name} is {str(content[name])[:60]!r}")
    return kind(**content)


def listed(value: object) -> list[Any]:
    """A list. Raises TypeError for anything else."""
    if not isinstance(value, list):
        raise TypeError(f"{str(value)[:60]!r} is not a list")
    return value


def _is(value: object, hint: Any) -> bool:
    """Whether a value is of a type. Of containers, what they hold is not looked at."""
    origin = get_origin(hint) or hint
    if origin in (Union, UnionType):
        return any(_is(value, choice) for choice in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if isinstance(value, bool):  # in Python, though not in JSON, true is a number
        return origin is bool
    return isinstance(value, (int, float) if origin is float else origin)
