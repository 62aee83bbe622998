"""The schemas that JSON output follows."""

import json
from importlib import resources
from typing import Any

import jsonschema
from referencing import Registry, Resource

_NAMES = ("answer.schema.json", "line.schema.json")


def schema(name: str) -> dict[str, Any]:
    return json.loads((resources.files("hipcli.output") / "schema" / name).read_text())


def validate(value: Any, name: str) -> None:
    """Raise jsonschema.ValidationError unless `value` follows the schema, which may refer to the others."""
    registry = Registry().with_resources((each, Resource.from_contents(schema(each))) for each in _NAMES)
    jsonschema.Draft202012Validator(schema(name), registry=registry).validate(value)
