"""Chat templates: Jinja programs that come with a model and lay out its messages, run in a sandbox."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """`{% generation %}` marks the model's own words for training; here what it holds is simply shown."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def render(
    template: str, messages: Sequence[Mapping[str, str]], special: Mapping[str, str], now: datetime | None = None
) -> str:
    """The chat as text, up to where an answer begins; "" where the template refuses the messages.

    `special` are the tokens that templates write by name, such as bos_token. Some write the date, which is that of
    `now`.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = (now or datetime.now()).strftime
    try:
        # Thinking aloud would fill the answer's tokens; templates that know no such switch ignore it.
        return environment.from_string(template).render(
            messages=messages, tools=None, documents=None, add_generation_prompt=True, enable_thinking=False, **special
        )
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError):
        return ""


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as it is, where Jinja's own filter escapes HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
