"""The configuration file: defaults for options, one name each, checked before anything runs.

model = "Qwen/Qwen2.5-1.5B-Instruct"     # for every command that has the option
top_k = 2048

[summarize]                              # for one command alone
length = "short"
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

from hipcli.disk.paths import config_dir
from hipcli.errors import ExitCode, HipError

Defaults = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Setting:
    """What an option takes: values of `kind`, a list of them if `many`, within the bounds, or one of `choices`.

    `parameter` is the name of the command's function parameter.
    """

    parameter: str
    kind: type
    many: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    def fault(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        if self.many:
            if not isinstance(value, list):
                return f"must be a list, not {_toml(value)}"
            faults = (Setting(self.parameter, self.kind).fault(item) for item in value)
            return next((fault for fault in faults if fault), None)
        # In Python, though not in TOML, true is an integer; and an integer will do for a number.
        kinds = (int, float) if self.kind is float else (self.kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and self.kind is not bool):
            return f"must be {_KINDS[self.kind]}, not {_toml(value)}"
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(self.choices)}, not {_toml(value)}"
        if self.minimum is not None and value < self.minimum:  # type: ignore[operator]
            return f"must be at least {self.minimum:g}, not {_toml(value)}"
        if self.maximum is not None and value > self.maximum:  # type: ignore[operator]
            return f"must be at most {self.maximum:g}, not {_toml(value)}"
        return None


Settings = Mapping[str, Mapping[str, Setting]]

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}


def default_path() -> Path:
    """Where the configuration is looked for when nobody says."""
    return config_dir() / "config.toml"


def load(path: Path | None, settings: Settings) -> Defaults:
    """Defaults for every command of `settings`, from the file `path` or from the usual place if there is one.

    Raises HipError, exit code 2, naming the file and the key, for a file that cannot be read or a key or value
    that no option takes.
    """
    place = path or default_path()
    try:
        content = tomllib.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if path is None:
            return {}
        raise _fault(place, "no such file") from error
    except OSError as error:
        raise _fault(place, error.strerror or str(error)) from error
    except ValueError as error:
        raise _fault(place, str(error)) from error
    defaults: Defaults = {command: {} for command in settings}
    # Tables last, whatever the order in the file: what is said for one command wins.
    for key, value in sorted(content.items(), key=lambda item: isinstance(item[1], dict)):
        if isinstance(value, dict) and key in settings:
            for name, item in value.items():
                _set(defaults, place, f"{key}.{name}", item, {key: settings[key]})
        elif key in settings:
            hint = f"write [{key}] on a line of its own, and options of hip {key} below it"
            raise _fault(place, f"{key} is a command and must be a table, not {_toml(value)}", hint)
        elif isinstance(value, dict):
            close = get_close_matches(key, settings, 1)
            hint = f"did you mean [{close[0]}]?" if close else f"tables are for commands: {', '.join(sorted(settings))}"
            raise _fault(place, f"unknown key {key}: there is no such command, and no option is a table", hint)
        else:
            _set(defaults, place, key, value, settings)
    return defaults


def settings_of(callback: Callable[..., Any]) -> dict[str, Setting]:
    """The options of a command by their names in the file, read from the annotations of its function."""
    settings = {}
    for parameter, hint in get_type_hints(callback, include_extras=True).items():
        option = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, OptionInfo)), None)
        if option is None:
            continue
        # Inside Annotated, Typer takes the first name for a default.
        names = [str(name) for name in (option.default, *(option.param_decls or ()))]
        flag = next(name for name in names if name.startswith("--"))
        name = flag.removeprefix("--").replace("-", "_")
        kind = get_args(hint)[0]
        kind = next((part for part in get_args(kind) if part is not NoneType), kind) if _optional(kind) else kind
        if get_origin(kind) is list:
            settings[name] = Setting(parameter, get_args(kind)[0], many=True)
        elif get_origin(kind) is Literal:
            settings[name] = Setting(parameter, str, choices=get_args(kind))
        else:
            kind = str if kind is Path else kind
            settings[name] = Setting(parameter, kind, minimum=option.min, maximum=option.max)
    return settings


def _optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _set(defaults: Defaults, place: Path, label: str, value: object, settings: Settings) -> None:
    """Set the option that `label` ends with for all commands that have it."""
    name = label.rpartition(".")[2]
    takers = {command: options[name] for command, options in settings.items() if name in options}
    if not takers:
        known = {name for options in settings.values() for name in options}
        close = get_close_matches(name, known, 1)
        raise _fault(place, f"unknown key {label}", f"did you mean {close[0]}?" if close else None)
    faults = {command: fault for command, setting in takers.items() if (fault := setting.fault(value))}
    fitting = [command for command in takers if command not in faults]
    for command, fault in faults.items():
        if fitting:
            hint = f"write it below the commands that it is for: {', '.join(f'[{each}]' for each in fitting)}"
            raise _fault(place, f"{label} cannot be for every command: for hip {command} it {fault}", hint)
        raise _fault(place, f"{label} {fault}")
    for command, setting in takers.items():
        defaults[command][setting.parameter] = value


def _toml(value: object) -> str:
    """`value` much as it stands in the file."""
    return str(value).lower() if isinstance(value, bool) else json.dumps(value, ensure_ascii=False, default=str)


def _fault(place: Path, what: str, hint: str | None = None) -> HipError:
    return HipError(f"{place}: {what}", hint, ExitCode.USAGE)
