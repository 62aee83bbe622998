"""Groups of options: what Typer sees of them, and what a command gets."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from hipcli.cli.attention import AttentionOptions
from hipcli.cli.config_file import settings_of
from hipcli.cli.flatten import Group, flattened
from hipcli.cli.settings import _NEEDS

TopK = Annotated[int, typer.Option("--top-k", envvar="TOP_K", min=0)]


@dataclass(frozen=True, kw_only=True)
class Keys(Group):
    top_k: TopK = 7
    names: Annotated[list[str], typer.Option("--name")] = field(default_factory=lambda: ["first", "second"])


@dataclass(frozen=True, kw_only=True)
class All(Group):
    path: Annotated[str, typer.Argument()]
    keys: Keys
    quiet: Annotated[bool, typer.Option("--quiet")] = False


def run(command: Callable[..., Any], *arguments: str, **more: Any) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments, standalone_mode=False, **more).return_value


@flattened
def both(seed: Annotated[int, typer.Option("--seed")] = 1, *, options: All) -> tuple[int, All]:
    """Do it."""
    return seed, options


def test_options_stand_in_the_order_of_the_fields() -> None:
    app = typer.Typer(add_completion=False)
    app.command()(both)
    command = typer.main.get_command(app)
    assert [parameter.name for parameter in command.params] == ["seed", "path", "top_k", "names", "quiet"]
    assert command.help == "Do it."


def test_defaults_are_those_of_the_fields() -> None:
    seed, options = run(both, "a")
    assert (seed, options.quiet) == (1, False)
    assert options.keys == Keys(top_k=7, names=["first", "second"])


def test_a_field_without_a_default_must_be_given() -> None:
    assert run(both) is None


def test_what_is_typed_arrives_and_is_known_to_its_own_group() -> None:
    seed, options = run(both, "a", "--seed", "2", "--top-k", "7", "--name", "x")
    assert seed == 2
    assert options.keys == Keys(top_k=7, names=["x"], given=frozenset({"top_k", "names"}))
    assert options.given == {"path"}


def test_environment_and_configuration_give_values_that_nobody_typed() -> None:
    _, options = run(both, "a", env={"TOP_K": "5"}, default_map={"quiet": True})
    assert (options.keys.top_k, options.quiet) == (5, True)
    assert options.keys.given == frozenset()
    assert options.given == {"path"}


def test_the_configuration_file_knows_options_of_groups() -> None:
    settings = settings_of(both)
    assert list(settings) == ["seed", "top_k", "name", "quiet"]
    assert settings["top_k"].minimum == 0
    assert settings["name"].many


def test_two_options_of_one_name_are_an_error() -> None:
    with pytest.raises(ValueError, match="top_k"):

        @flattened
        def clash(top_k: TopK = 1, *, keys: Keys) -> None: ...

    with pytest.raises(ValueError, match="quiet"):

        @flattened
        def nested(quiet: bool, *, options: All) -> None: ...


def test_options_that_may_be_idle_are_options_of_attention() -> None:
    own = {option.name for option in fields(AttentionOptions)} - {option.name for option in fields(Group)}
    assert set(_NEEDS) == own - {"kind"}
