"""What a git repository says about which of its files count: read from its own files, without running git.

Raises OSError where one of these files is there and cannot be read.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from hipcli.documents.git_index import tracked_paths
from hipcli.documents.gitignore import Patterns

# Of patterns and settings: every pattern costs time for every file.
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Repository:
    """`top` is the folder that the work tree begins in, `folder` what it keeps to itself, `common` what work trees of
    the same repository share."""

    top: str
    folder: str
    common: str

    @property
    def ignore_case(self) -> bool:
        return self._settings.get("core.ignorecase", "").lower() in ("true", "yes", "on", "1")

    def patterns(self) -> list[Patterns]:
        """Those that hold for the whole work tree, strongest last: the user's own and info/exclude."""
        named = self._settings.get("core.excludesfile")
        own = _in_configuration_home("ignore") if named is None else os.path.join(self.top, os.path.expanduser(named))
        files = (own, os.path.join(self.common, "info", "exclude"))
        return [patterns for file in files if (patterns := read_patterns(file, self.ignore_case))]

    @cached_property
    def tracked(self) -> frozenset[bytes]:
        """The paths that git tracks, relative to `top`; those of the folders they are in end in a slash."""
        sha256 = self._settings.get("extensions.objectformat", "").lower() == "sha256"
        index = os.path.join(self.folder, "index")
        try:
            with open(index, "rb") as file:
                paths = tracked_paths(file.read(), 32 if sha256 else 20)
        except FileNotFoundError:
            return frozenset()
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error), index) from error
        folders: set[bytes] = set()
        for path in paths:
            end = path.rfind(b"/") + 1
            while end and path[:end] not in folders:
                folders.add(path[:end])
                end = path.rfind(b"/", 0, end - 1) + 1
        return frozenset(folders.union(paths))

    @cached_property
    def _settings(self) -> dict[str, str]:
        files = (
            "/etc/gitconfig",
            _in_configuration_home("config"),
            os.path.expanduser("~/.gitconfig"),
            os.path.join(self.common, "config"),
        )
        settings: dict[str, str] = {}
        for file in files:
            settings.update(_read_settings(file))
        return settings


def repository_at(folder: str) -> Repository | None:
    """The repository whose work tree begins in `folder`."""
    own = os.path.join(folder, ".git")
    if not os.path.lexists(own):
        return None
    if os.path.isfile(own):  # a submodule, or one of several work trees
        start, _, target = _first_line(own).partition("gitdir:")
        own = os.path.join(folder, target.strip())
        if start or not target:
            return None
    common = own
    if os.path.isfile(os.path.join(own, "commondir")):
        common = os.path.join(own, _first_line(os.path.join(own, "commondir")))
    if not os.path.lexists(os.path.join(own, "HEAD")):
        return None
    if not all(os.path.isdir(os.path.join(common, part)) for part in ("objects", "refs")):
        return None
    return Repository(folder, own, common)


def read_patterns(path: str, ignore_case: bool = False) -> Patterns | None:
    """The patterns in the file at `path`; None if there are none."""
    return Patterns.from_file(_read(path), ignore_case) or None


def _read_settings(path: str) -> Iterator[tuple[str, str]]:
    """("section.key", value) of every line of a file of settings, in order.

    Files that it includes are not read, nor what goes on in the next line.
    """
    section = ""
    for line in os.fsdecode(_read(path)).splitlines():
        line = line.strip()
        if line.startswith("["):
            section, _, line = line[1:].partition("]")
            section = section.strip().lower()
        key, equals, value = line.strip().partition("=")
        if key and not key.startswith(("#", ";")):
            yield f"{section}.{key.strip().lower()}", _value(value.strip()) if equals else "true"


def _value(text: str) -> str:
    """A value without quotes, escapes and comment."""
    value = ""
    quoted = False
    characters = iter(text)
    for character in characters:
        if character == "\\":
            value += next(characters, "")
        elif character == '"':
            quoted = not quoted
        elif character in "#;" and not quoted:
            return value.rstrip()
        else:
            value += character
    return value


def _in_configuration_home(name: str) -> str:
    return os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "git", name)


def _first_line(path: str) -> str:
    return os.fsdecode(_read(path)).partition("\n")[0].rstrip("\r")


def _read(path: str) -> bytes:
    """The bytes of a small file; none where it is missing or, as for git, a device such as /dev/null."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    if len(data) > _MOST_BYTES:
        raise OSError(errno.EFBIG, "more than 1 MiB of patterns or settings", path)
    return data
