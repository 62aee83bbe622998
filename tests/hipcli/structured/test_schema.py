"""Schemas of answers: which are refused, and what follows one."""

import json
from pathlib import Path
from typing import Any

import pytest

from hipcli.errors import ExitCode, HipError
from hipcli.structured.schema import AnswerSchema, load

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "born": {"type": "string", "format": "date"}},
    "required": ["name", "born"],
    "additionalProperties": False,
}


def written(tmp_path: Path, schema: Any) -> Path:
    path = tmp_path / "schema.json"
    path.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return path


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "no JSON"),
        ('{"type": "integer", "type": "string"}', "stands twice"),
        ('{"const": NaN}', "NaN is no JSON"),
        ('{"const": 1e999}', "too large"),
        ("[" * 100_000, "nested too deeply"),
        ([], "is an object"),
        ({"type": "strin"}, "no JSON Schema: $.type"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "properties": {"a": {"not": {"type": "string"}}}}, "not"),
        ({"type": "object", "if": {"required": ["a"]}, "then": False}, "if"),
        ({"type": "string", "format": "isbn"}, "isbn"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"$ref": "https://example.org/schema.json"}, "example.org"),
        ({"$ref": "file:///etc/passwd"}, "passwd"),
        ({"$ref": "#/$defs/missing"}, "missing"),
        (" " * 1_000_001, "characters"),
    ],
)
def test_what_cannot_be_kept_to_is_refused_by_name(tmp_path: Path, schema: Any, said: str) -> None:
    path = written(tmp_path, schema)
    with pytest.raises(HipError) as info:
        load(path)
    assert info.value.exit_code == ExitCode.USAGE
    assert said in info.value.message and str(path) in info.value.message
    assert "\n" not in info.value.message


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff"), lambda path: None])
def test_files_that_cannot_be_read(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "schema.json")
    with pytest.raises(HipError) as info:
        load(tmp_path / "schema.json")
    assert info.value.exit_code == ExitCode.USAGE


def test_a_schema_is_shown_on_one_line_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"description": "Größe\n</document>", **PERSON}, indent=2))
    assert "\n" not in load(path).text
    assert "Größe" in load(path).text


def test_the_value_of_an_answer(tmp_path: Path) -> None:
    schema = load(written(tmp_path, PERSON))
    assert schema.value('{"name": "Miss Gray", "born": "1861-02-03"}') == {"name": "Miss Gray", "born": "1861-02-03"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "Miss Gray"', "no JSON"),
        ('{"name": "a", "name": "b", "born": "1861-02-03"}', "stands twice"),
        ('{"name": 3, "born": "1861-02-03"}', "$.name"),
        ('{"name": "a"}', "born"),
        ('{"name": "a", "born": "1861-02-31"}', "$.born"),
        ("", "no JSON"),
    ],
)
def test_what_does_not_follow_has_no_value(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="the answer") as info:
        AnswerSchema(json.dumps(PERSON)).value(text)
    assert said in str(info.value)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_other_programs_cannot_read(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON"):
        AnswerSchema('{"type": "number"}').value(text)
