"""Which files of an archive git would ignore, if it were unpacked: by every .gitignore inside."""

import posixpath
from collections.abc import Mapping

from hipcli.documents.gitignore import Patterns

_OWN_LIST = ".git/info/exclude"


class IgnoredMembers:
    """Made of the files with patterns, by name. What git tracks is not known, so that patterns alone decide."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        # A folder's .gitignore has the last word over the repository's own list.
        ordered = sorted(files.items(), key=lambda file: file[0].endswith(_OWN_LIST), reverse=True)
        self._patterns: dict[str, list[Patterns]] = {}
        for name, data in ordered:
            folder = name.removesuffix(_OWN_LIST if name.endswith(_OWN_LIST) else ".gitignore").rstrip("/")
            self._patterns.setdefault(folder, []).append(Patterns.from_file(data))
        self._folders: dict[str, bool] = {"": False}

    @staticmethod
    def has_patterns(name: str) -> bool:
        """Whether the file called `name` is one that these are made of."""
        return posixpath.basename(name) == ".gitignore" or f"/{name}".endswith(f"/{_OWN_LIST}")

    def __contains__(self, name: str) -> bool:
        """Whether the file called `name` is ignored, or a folder that it is in."""
        return bool(self._patterns) and (self._ignores_folder(posixpath.dirname(name)) or self._is_meant(name, False))

    def _ignores_folder(self, folder: str) -> bool:
        unknown = []
        while folder not in self._folders:
            unknown.append(folder)
            folder = posixpath.dirname(folder)
        ignored = self._folders[folder]
        for inner in reversed(unknown):
            ignored = ignored or self._is_meant(inner, directory=True)
            self._folders[inner] = ignored
        return ignored

    def _is_meant(self, path: str, directory: bool) -> bool:
        """Whether the last pattern that matches means it; those of the nearest folder come last."""
        around = posixpath.dirname(path)
        while True:
            inner = path[len(around) + 1 :] if around else path
            for patterns in reversed(self._patterns.get(around, ())):
                verdict = patterns.verdict(inner.encode("utf-8", "replace"), directory)
                if verdict is not None:
                    return verdict
            if not around:
                return False
            around = posixpath.dirname(around)
