"""The JSON Schema that answers have to follow: its file, and whether an answer follows it."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipcli.errors import ExitCode, HipError, first_line
from hipcli.structured import strict_json

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

# Between the parts of an answer, and nothing else: a small model can write white space for ever.
_LAYOUT: Any = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
_LARGEST = 1_000_000  # characters
_SHOWN = 200


@dataclass(frozen=True)
class AnswerSchema:
    """A schema that can be kept to while an answer is written. `text` is the schema on one line."""

    text: str

    @cached_property
    def grammar(self) -> str:
        """The same as the library llguidance has it."""
        return _grammar(json.loads(self.text))

    def value(self, text: str) -> Any:
        """The value of an answer. Raises ValueError where it is no JSON, or does not follow the schema."""
        from jsonschema.exceptions import ValidationError

        try:
            value = strict_json.loads(text)
        except ValueError as error:
            raise ValueError(f"the answer is no JSON: {first_line(error)}") from error
        try:
            self._validator.validate(value)
        except ValidationError as error:
            message = first_line(error)[:_SHOWN]
            raise ValueError(f"the answer does not follow the schema: {error.json_path}: {message}") from error
        return value

    @cached_property
    def _validator(self) -> "Validator":
        return _validator(json.loads(self.text))


def load(path: Path) -> AnswerSchema:
    """The schema in a file. Raises HipError, exit code 2, for a file that is none, and for a schema with something in
    it that cannot be kept to while an answer is written.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _refused(path, str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise _refused(path, "not UTF-8 text") from error
    if len(text) > _LARGEST:
        raise _refused(path, f"more than {_LARGEST:,} characters")
    try:
        schema = strict_json.loads(text)
    except ValueError as error:
        raise _refused(path, f"no JSON: {first_line(error)}") from error
    return _checked(path, schema)


def _checked(path: Path, schema: object) -> AnswerSchema:
    from jsonschema.exceptions import SchemaError
    from llguidance import LLMatcher

    if not isinstance(schema, dict):
        raise _refused(path, "a JSON Schema is an object")
    try:
        _validator(schema).check_schema(schema)
    except SchemaError as error:
        raise _refused(path, f"no JSON Schema: {error.json_path}: {first_line(error)[:_SHOWN]}") from error
    except RecursionError as error:
        raise _refused(path, "nested too deeply") from error
    # Keywords that the library does not know by name are errors of it, too; none is ignored.
    if unsupported := LLMatcher.validate_grammar(_grammar(schema)):
        hint = "leave it out of the schema, and check it in the answers"
        message = "cannot be kept to while an answer is written: " + " ".join(unsupported.split())[:_SHOWN]
        raise _refused(path, message, hint)
    return AnswerSchema(json.dumps(schema, ensure_ascii=False))


def _grammar(schema: dict[str, Any]) -> str:
    from llguidance import LLMatcher

    return str(LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_LAYOUT))


def _validator(schema: dict[str, Any]) -> "Validator":
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    kind = validator_for(schema, default=Draft202012Validator)
    # Without a registry of its own it would fetch what a schema refers to from the network.
    return kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)


def _refused(path: Path, what: str, hint: str | None = None) -> HipError:
    return HipError(f"--schema {path}: {what}", hint, ExitCode.USAGE)
