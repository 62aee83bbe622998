"""Libraries that keep an answer to a JSON Schema: what they enforce, refuse or ignore, and what a token costs.

    python bench/schema_libraries.py [--model MODEL] [--library llguidance|outlines_core|xgrammar]...

Each library gets schemas of one keyword, with a text that follows it and one that does not. A keyword is enforced
where the first text is let through and the second is not, refused where the schema is an error, ignored where both are
let through, and wrong where the first is not. Then it writes an answer under a nested schema, and the times for the
tokenizer, the schema, and the mask of each token are taken. Libraries that are not installed are passed over.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Protocol

from common import machine, save
from tokenizers import Tokenizer

from hipcli.models.resolve import resolve

NESTED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 40},
        "kind": {"enum": ["report", "letter", "contract", "other"]},
        "people": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 30},
                    "age": {"type": ["integer", "null"], "minimum": 0, "maximum": 150},
                },
                "required": ["name", "age"],
                "additionalProperties": False,
            },
        },
        "signed": {"type": "boolean"},
    },
    "required": ["title", "kind", "people", "signed"],
    "additionalProperties": False,
}
WRITTEN = {
    "title": "The mill at Oxley", "kind": "report",
    "people": [{"name": "Miss Gray", "age": 41}, {"name": "Mr. Todd", "age": None}], "signed": True,
}  # fmt: skip
_WORD = {"type": "string"}
# A schema of each keyword, what follows it, and what does not.
KEYWORDS: dict[str, tuple[Any, Any, Any]] = {
    "type": ({"type": "integer"}, 5, "x"),
    "enum": ({"enum": ["a", 3]}, 3, "b"),
    "const": ({"const": {"a": 1}}, {"a": 1}, {"a": 2}),
    "required": ({"type": "object", "properties": {"a": _WORD}, "required": ["a"]}, {"a": "x"}, {}),
    "additionalProperties": (
        {"type": "object", "properties": {"a": _WORD}, "additionalProperties": False},
        {"a": "x"},
        {"b": "x"},
    ),
    "items": ({"type": "array", "items": {"type": "integer"}}, [1, 2], ["x"]),
    "prefixItems": (
        {"type": "array", "prefixItems": [_WORD, {"type": "integer"}], "items": False, "minItems": 2},
        ["x", 1],
        [1, "x"],
    ),
    "minItems, maxItems": ({"type": "array", "items": _WORD, "minItems": 1, "maxItems": 2}, ["a"], ["a", "b", "c"]),
    "uniqueItems": ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, [1, 2], [1, 1]),
    "contains": ({"type": "array", "contains": {"const": 3}}, [1, 3], [1, 2]),
    "minLength, maxLength": ({"type": "string", "minLength": 2, "maxLength": 4}, "abc", "abcde"),
    "pattern": ({"type": "string", "pattern": "^[a-z]+[0-9]{2}$"}, "ab12", "AB12"),
    "pattern, not anchored": ({"type": "string", "pattern": "ell"}, "hello", "help"),
    "format date": ({"type": "string", "format": "date"}, "2026-02-03", "yesterday"),
    "format date-time": ({"type": "string", "format": "date-time"}, "2026-02-03T10:00:00Z", "noon"),
    "format email": ({"type": "string", "format": "email"}, "a@example.org", "nobody"),
    "format uri": ({"type": "string", "format": "uri"}, "https://example.org/a", "nowhere to go"),
    "minimum, maximum of integers": ({"type": "integer", "minimum": 10, "maximum": 99}, 42, 7),
    "minimum, maximum of numbers": ({"type": "number", "minimum": 0.5, "maximum": 1.5}, 1.25, 2.5),
    "exclusiveMinimum": ({"type": "integer", "exclusiveMinimum": 3}, 4, 3),
    "multipleOf": ({"type": "integer", "multipleOf": 5}, 15, 12),
    "anyOf": ({"anyOf": [_WORD, {"type": "integer"}]}, 5, None),
    "oneOf, none at once": ({"oneOf": [_WORD, {"type": "integer"}]}, 5, None),
    "oneOf, both at once": ({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 3}]}, 1, 5),
    "allOf": ({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]}, 4, 9),
    "not": ({"type": "string", "not": {"const": "x"}}, "y", "x"),
    "$ref": ({"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}, [1], ["x"]),
    "$ref to itself": (
        {"type": "object", "properties": {"sub": {"$ref": "#"}}, "additionalProperties": False},
        {"sub": {"sub": {}}},
        {"sub": {"sub": 1}},
    ),
    "patternProperties": (
        {"type": "object", "patternProperties": {"^n": {"type": "integer"}}, "additionalProperties": False},
        {"n1": 1},
        {"n1": "x"},
    ),
    "propertyNames": ({"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}}, {"ab": 1}, {"AB": 1}),
    "minProperties": ({"type": "object", "minProperties": 1}, {"a": 1}, {}),
    "if, then": (
        {"type": "object", "properties": {"a": {"type": "integer"}}, "if": {"required": ["a"]}, "then": False},
        {},
        {"a": 1},
    ),
    "dependentRequired": (
        {"type": "object", "properties": {"a": _WORD, "b": _WORD}, "dependentRequired": {"a": ["b"]}},
        {"a": "x", "b": "y"},
        {"a": "x"},
    ),
    "format of another name": ({"type": "string", "format": "isbn"}, "978-3-16-148410-0", "978-3-16-148410-0"),
}


class Library(Protocol):
    """One library with one tokenizer. `start` raises any exception for a schema that it refuses."""

    def start(self, schema: Any) -> None:
        """Begin an answer."""

    def mask(self) -> None:
        """Find out which tokens may come next."""

    def push(self, token: int) -> bool:
        """Take a token; False where it is not allowed."""

    def complete(self) -> bool:
        """Whether the answer may end here."""


class LLGuidance:
    def __init__(self, tokenizer: Tokenizer, end: int) -> None:
        import llguidance

        self._library = llguidance
        self._tokenizer = llguidance.LLTokenizer(tokenizer.to_str(), eos_token=end)

    def start(self, schema: Any) -> None:
        grammar = self._library.LLMatcher.grammar_from_json_schema(schema)
        self._matcher = self._library.LLMatcher(self._tokenizer, grammar)
        if self._matcher.is_error():
            raise ValueError(self._matcher.get_error())

    def mask(self) -> None:
        self._matcher.compute_bitmask()

    def push(self, token: int) -> bool:
        return self._matcher.consume_token(token)

    def complete(self) -> bool:
        return self._matcher.is_accepting()


class Outlines:
    def __init__(self, tokenizer: Tokenizer, end: int) -> None:
        import outlines_core
        from outlines_core.json_schema import build_regex_from_schema

        self._library, self._regex = outlines_core, build_regex_from_schema
        by_text: dict[bytes, list[int]] = {}
        for number, text in enumerate(token_bytes(tokenizer)):
            if text and number != end:
                by_text.setdefault(text, []).append(number)
        self._vocabulary = outlines_core.Vocabulary(end, by_text)

    def start(self, schema: Any) -> None:
        index = self._library.Index(self._regex(json.dumps(schema)), self._vocabulary)
        self._guide = self._library.Guide(index)

    def mask(self) -> None:
        self._guide.get_tokens()

    def push(self, token: int) -> bool:
        try:
            self._guide.advance(token)
        except ValueError:
            return False
        return True

    def complete(self) -> bool:
        return self._guide.is_accepting() if hasattr(self._guide, "is_accepting") else self._guide.is_finished()


class XGrammar:
    def __init__(self, tokenizer: Tokenizer, end: int) -> None:
        import xgrammar

        self._library = xgrammar
        tokens = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]
        info = xgrammar.TokenizerInfo(tokens, xgrammar.VocabType.BYTE_LEVEL, stop_token_ids=[end])
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1)
        self._bits = xgrammar.allocate_token_bitmask(1, info.vocab_size)

    def start(self, schema: Any) -> None:
        compiled = self._compiler.compile_json_schema(json.dumps(schema), strict_mode=False)
        self._matcher = self._library.GrammarMatcher(compiled, terminate_without_stop_token=False)

    def mask(self) -> None:
        self._matcher.fill_next_token_bitmask(self._bits)

    def push(self, token: int) -> bool:
        return self._matcher.accept_token(token)

    def complete(self) -> bool:
        return self._matcher.is_completed()


LIBRARIES: dict[str, Callable[[Tokenizer, int], Library]] = {
    "llguidance": LLGuidance,
    "outlines_core": Outlines,
    "xgrammar": XGrammar,
}


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """What each token spells, of a byte-level vocabulary; b"" for the added ones."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    bytes_of = {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}
    added = tokenizer.get_added_tokens_decoder()
    return [
        b"" if number in added else bytes(bytes_of[c] for c in tokenizer.id_to_token(number))
        for number in range(tokenizer.get_vocab_size())
    ]


def takes(library: Library, tokens: list[int]) -> bool:
    """Whether a started library lets these tokens through, and the answer end behind them."""
    return all(library.push(token) for token in tokens) and library.complete()


def verdict(library: Library, tokenizer: Tokenizer, schema: Any, right: Any, wrong: Any) -> str:
    accepted = []
    for value in (right, wrong):
        try:
            library.start(schema)
        except Exception as error:
            return "refused" if "nimplemented" in str(error) or "nknown" in str(error) else f"refused: {error}"[:120]
        tokens = [tokenizer.encode(text).ids for text in (json.dumps(value), json.dumps(value, separators=(",", ":")))]
        right_way = takes(library, tokens[0])
        if not right_way:
            library.start(schema)
            right_way = takes(library, tokens[1])
        accepted.append(right_way)
    if not accepted[0]:
        return "wrong"
    return "ignored" if accepted[1] else "enforced"


def seconds(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def measured(name: str, tokenizer: Tokenizer, end: int) -> dict[str, Any]:
    begin = time.perf_counter()
    library = LIBRARIES[name](tokenizer, end)
    open_s = time.perf_counter() - begin
    keywords = {name: verdict(library, tokenizer, *case) for name, case in KEYWORDS.items()}
    first_s = seconds(lambda: library.start(NESTED))
    masks: list[float] = []
    tokens = tokenizer.encode(json.dumps(WRITTEN)).ids
    for token in tokens:
        masks.append(seconds(library.mask))
        if not library.push(token):
            raise SystemExit(f"the answer is refused at {tokenizer.decode([token])!r}")
    return {
        "version": version(name),
        "tokenizer_s": round(open_s, 3),
        "schema_ms": round(1e3 * first_s, 2),
        "mask_ms": round(1e3 * statistics.mean(masks), 3),
        "slowest_mask_ms": round(1e3 * max(masks), 2),
        "tokens": len(tokens),
        "keywords": keywords,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--library", action="append", choices=LIBRARIES, help="by default all")
    options = parser.parse_args()
    folder = resolve(options.model, print).path
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    end = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    end = end[0] if isinstance(end, list) else end
    found = {}
    for name in options.library or LIBRARIES:
        try:
            found[name] = measured(name, tokenizer, end)
        except ImportError as error:
            print(f"{name}: not installed ({error})")
            continue
        print(name, json.dumps(found[name], indent=1), flush=True)
    save("schema_libraries", found)
    print(machine())


if __name__ == "__main__":
    main()
