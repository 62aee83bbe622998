"""Which files of a directory are read: sorted, and without what is hidden, ignored or special. Links come last."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from hipcli.documents.document import Skipped
from hipcli.documents.gitignore import Patterns
from hipcli.documents.ignored import Scope, scope_of

if TYPE_CHECKING:
    from hipcli.documents.options import ReadOptions

Found = str | Skipped | OSError


def walk(root: str, options: "ReadOptions") -> Iterator[Found]:
    """The paths of the files below `root` that are to be read, sorted, and every other that was found, as Skipped.

    A directory that cannot be listed, or whose patterns cannot be read, gives its OSError. Nothing is said about what
    `options.exclude` excludes and `options.include` leaves out: patterns as in a .gitignore that lies in `root`. What
    git ignores counts only with `options.gitignore`, and never for `root` itself, which was named.
    Links below `root` are followed with `options.links`, after all else; nothing is then read twice, nor without end.
    """
    return _Walk(root, options).run()


@dataclass(frozen=True)
class _Folder:
    """`relative` to the root, empty or ending in a slash; `real` is the path without links.

    `included`: the number of the last pattern of --include that matches the folder or one above it.
    """

    relative: str
    real: str
    scope: Scope | None
    included: int


# What is pending, by its path relative to the root: with the folder that it is in, or why it is not read.
_Entry = tuple[str, _Folder | Skipped]


class _Walk:
    def __init__(self, root: str, options: "ReadOptions") -> None:
        self._root = root
        self._options = options
        self._include = Patterns(map(os.fsencode, options.include))
        self._exclude = Patterns(map(os.fsencode, options.exclude))
        self._links: list[tuple[str, _Folder]] = []
        # What links may lead to that is read anyway, by real paths: folders, and files that were read through links.
        self._entered: dict[str, _Folder] = {}
        self._linked: set[str] = set()

    def run(self) -> Iterator[Found]:
        yield from self._tree("", -1)
        while self._links:
            links, self._links = sorted(self._links, key=itemgetter(0)), []  # a linked folder may have more of them
            for relative, folder in links:
                yield from self._link(relative, folder)

    def _tree(self, relative: str, included: int) -> Iterator[Found]:
        """What is below the root or a linked folder."""
        real = os.path.realpath(self._path(relative))
        try:
            scope = scope_of(real) if self._options.gitignore else None
            pending = self._list(_Folder(relative, real, scope, included))
        except OSError as error:
            yield error
            return
        # A list and not recursion: a hostile tree may be deeper than Python's stack.
        while pending:
            relative, item = pending.pop()
            if isinstance(item, Skipped):
                yield item
            elif not relative.endswith("/"):
                yield self._path(relative)
            else:
                try:
                    pending.extend(self._list(self._subfolder(item, relative)))
                except OSError as error:
                    yield error

    def _subfolder(self, parent: _Folder, relative: str) -> _Folder:
        name = relative[len(parent.relative) : -1]
        return _Folder(
            relative,
            os.path.join(parent.real, name),
            parent.scope and parent.scope.below(os.fsencode(name), self._path(relative)),
            self._included(parent, name, directory=True),
        )

    def _list(self, folder: _Folder) -> list[_Entry]:
        """The entries of a folder, last one first, but for links: they are put off."""
        self._entered[folder.real] = folder
        with os.scandir(self._path(folder.relative)) as listing:
            entries = [entry for item in listing for entry in self._entry(folder, item)]
        entries.sort(key=itemgetter(0), reverse=True)
        return entries

    def _entry(self, folder: _Folder, entry: os.DirEntry[str]) -> Iterator[_Entry]:
        link = entry.is_symlink()
        directory = os.path.isdir(entry.path) if link else entry.is_dir(follow_symlinks=False)
        if not self._is_chosen(folder, entry.name, directory):
            return
        relative = folder.relative + entry.name + ("/" if directory and not link else "")
        reason = self._reason(folder, entry.name, directory and not link)
        if reason is not None:
            yield relative, Skipped(self._path(relative), reason, quiet=True)
        elif link:
            self._links.append((relative, folder))
        elif directory or entry.is_file(follow_symlinks=False):
            real = os.path.join(folder.real, entry.name)
            if real not in self._entered and real not in self._linked:
                yield relative, folder
        else:
            yield relative, Skipped(self._path(relative), f"is {_kind(entry.stat(follow_symlinks=False).st_mode)}")

    def _link(self, relative: str, folder: _Folder) -> Iterator[Found]:
        path = self._path(relative)
        try:
            target = os.readlink(path)
        except OSError as error:
            yield error
            return
        try:
            real = os.path.realpath(path, strict=True)
            mode = os.stat(real).st_mode
        except OSError as error:
            yield Skipped(path, f"is a link to {target}: {(error.strerror or str(error)).lower()}")
            return
        directory = stat.S_ISDIR(mode)
        if not directory and not stat.S_ISREG(mode):
            yield Skipped(path, f"is a link to {target}, which is {_kind(mode)}")
        elif self._is_read(real):
            yield Skipped(path, f"is a link to {target}, which is read")
        elif not self._options.links:
            yield Skipped(path, f"is a link to {target}: name it, or take --links")
        elif directory:
            yield from self._tree(relative + "/", self._included(folder, os.path.basename(relative), directory=True))
        else:
            self._linked.add(real)
            yield path

    def _is_read(self, real: str) -> bool:
        """Whether the file or folder at this real path is read without the link to it."""
        if real in self._entered or real in self._linked:
            return True
        parent, name = os.path.split(real)
        folder = self._entered.get(parent)
        return (
            folder is not None
            and not os.path.isdir(real)
            and self._is_chosen(folder, name, directory=False)
            and self._reason(folder, name, directory=False) is None
        )

    def _is_chosen(self, folder: _Folder, name: str, directory: bool) -> bool:
        """Whether --include and --exclude let an entry of the folder through."""
        if self._exclude and self._exclude.verdict(os.fsencode(folder.relative + name), directory):
            return False
        return directory or not self._include or self._include.selects(self._included(folder, name, directory))

    def _included(self, folder: _Folder, name: str, directory: bool) -> int:
        """The number of the last pattern of --include that matches an entry of the folder, or the folder."""
        if not self._include:
            return -1
        return max(folder.included, self._include.last_match(os.fsencode(folder.relative + name), directory))

    def _reason(self, folder: _Folder, name: str, directory: bool) -> str | None:
        """Why an entry of the folder is not read that --include and --exclude let through."""
        if name.startswith("."):
            return "is hidden"
        if folder.scope is not None and folder.scope.ignores(os.fsencode(name), directory):
            return "is ignored by .gitignore"
        return None

    def _path(self, relative: str) -> str:
        return os.path.join(self._root, relative)


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
