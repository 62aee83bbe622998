"""What git ignores in one folder after the other: which files of patterns hold where, and who has the last word."""

import os
import stat
from dataclasses import dataclass, replace

from hipcli.documents.git_repository import Repository, read_patterns, repository_at
from hipcli.documents.gitignore import Patterns


@dataclass(frozen=True)
class Scope:
    """What holds in one folder.

    `path` is the folder's, from the top of the repository or else from where the walk began; it is empty or ends in a
    slash. `patterns` have the strongest last, each with the length of the path of the folder that they lie in.
    `only_tracked`: the folder is ignored, but some file in it is tracked.
    """

    path: bytes
    patterns: tuple[tuple[int, Patterns], ...]
    repository: Repository | None
    only_tracked: bool = False

    def ignores(self, name: bytes, directory: bool) -> bool:
        """Whether an entry of this folder is ignored. A tracked file never is, nor a folder on the way to one."""
        return self._is_meant(name, directory) and not self._is_tracked(name, directory)

    def below(self, name: bytes, where: str) -> "Scope":
        """The scope in a subfolder that is not ignored; `where` is where it lies for open(). Raises OSError."""
        repository = repository_at(where)
        if repository is not None:
            return _own_gitignore(_top(repository), where)
        path = self.path + name + b"/"
        return _own_gitignore(replace(self, path=path, only_tracked=self._is_meant(name, directory=True)), where)

    def _is_meant(self, name: bytes, directory: bool) -> bool:
        if self.only_tracked:
            return True
        path = self.path + name
        for start, patterns in reversed(self.patterns):
            verdict = patterns.verdict(path[start:], directory)
            if verdict is not None:
                return verdict
        return False

    def _is_tracked(self, name: bytes, directory: bool) -> bool:
        if self.repository is None:
            return False
        path = self.path + name
        # The path of a submodule has no slash at its end.
        return path in self.repository.tracked or (directory and path + b"/" in self.repository.tracked)


def scope_of(folder: str) -> Scope:
    """The scope in a folder that was named, so that it is no matter whether it is ignored itself. Raises OSError."""
    folder = os.path.realpath(folder)
    above: list[str] = []
    here = folder
    while (repository := repository_at(here)) is None:
        here, name = os.path.split(here)
        if not name:
            return _own_gitignore(Scope(b"", (), None), folder)
        above.append(name)
    scope = _own_gitignore(_top(repository), here)
    for name in reversed(above):
        here = os.path.join(here, name)
        scope = _own_gitignore(replace(scope, path=scope.path + os.fsencode(name) + b"/"), here)
    return scope


def _top(repository: Repository) -> Scope:
    return Scope(b"", tuple((0, patterns) for patterns in repository.patterns()), repository)


def _own_gitignore(scope: Scope, where: str) -> Scope:
    """`scope` with the patterns of the folder's own .gitignore, which git does not read through a link."""
    path = os.path.join(where, ".gitignore")
    try:
        regular = stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, PermissionError):  # where it may not even be looked at, nothing else can be read
        return scope
    ignore_case = scope.repository is not None and scope.repository.ignore_case
    patterns = read_patterns(path, ignore_case) if regular else None
    return replace(scope, patterns=(*scope.patterns, (len(scope.path), patterns))) if patterns else scope
