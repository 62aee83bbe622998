"""Commands that take groups of options as objects, made such that Typer finds one parameter an option."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, TypeGuard, TypeVar, get_type_hints

import typer

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Options that go together. Each is a field, `name: Annotated[type, typer.Option(...)] = default`; a field may as
    well be another group.

    `given` are the options of this very group that the user typed; others have their values from the configuration,
    the environment or their defaults.
    """

    given: frozenset[str] = frozenset()


def flattened(command: Callable[..., Result]) -> Callable[..., Result]:
    """A command for Typer with an option where `command` takes one, and all options of a group, in the order of its
    fields, where it takes a group. `command` gets the groups put together.

    Raises ValueError where two options have the same name.
    """
    taken = signature(command, eval_str=True).parameters.values()
    context = Parameter("ctx", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    shown = Signature([context, *_options(taken)])

    @wraps(command)
    def call(ctx: typer.Context, **values: Any) -> Result:
        return command(**{parameter.name: _value(parameter, ctx, values) for parameter in taken})

    vars(call)["__signature__"] = shown
    call.__annotations__ = {option.name: option.annotation for option in shown.parameters.values()}
    return call


def _options(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    for parameter in parameters:
        if _is_group(parameter.annotation):
            yield from _options(_fields(parameter.annotation))
        else:
            # By keyword, options that have no default may stand behind others that have.
            yield parameter.replace(kind=Parameter.KEYWORD_ONLY)


def _value(parameter: Parameter, ctx: typer.Context, values: dict[str, Any]) -> Any:
    group = parameter.annotation
    if not _is_group(group):
        return values[parameter.name]
    parts = list(_fields(group))
    given = frozenset(part.name for part in parts if not _is_group(part.annotation) and _typed(ctx, part.name))
    return group(given=given, **{part.name: _value(part, ctx, values) for part in parts})


def _fields(group: type[Group]) -> Iterator[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        if field.name != "given":
            default = field.default if field.default_factory is MISSING else field.default_factory()
            default = Parameter.empty if default is MISSING else default
            yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])


def _typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _is_group(kind: object) -> TypeGuard[type[Group]]:
    return isinstance(kind, type) and issubclass(kind, Group)
