"""Which files of a directory are read: sorted, and without what is hidden, ignored, linked or special."""

import os
from collections.abc import Iterable, Iterator, Sequence

from pathspec import GitIgnoreSpec

from hipcli.errors import ExitCode, HipError

# The .gitignore files that apply in a directory, innermost last, each with the length of its own path.
_Specs = tuple[tuple[int, GitIgnoreSpec], ...]


def walk(
    root: str, include: Sequence[str] = (), exclude: Sequence[str] = (), gitignore: bool = True
) -> Iterator[str | OSError]:
    """Paths of the regular files below `root`, sorted; a directory that cannot be listed gives its OSError.

    `include` and `exclude` are patterns as in a .gitignore that lies in `root`; check_patterns has seen them.
    """
    included = GitIgnoreSpec.from_lines(include)
    excluded = GitIgnoreSpec.from_lines(exclude)
    # Paths are relative to `root`; those of directories end in a slash, as patterns and sorting need it.
    # A list and not recursion: a hostile tree may be deeper than Python's stack.
    pending: list[tuple[str, _Specs]] = [("", ())]
    while pending:
        relative, specs = pending.pop()
        path = os.path.join(root, relative)
        if relative and not relative.endswith("/"):
            if not include or included.match_file(relative):
                yield path
            continue
        try:
            with os.scandir(path) as listing:
                entries = list(listing)
            if gitignore:
                specs = (*specs, *_read_gitignore(entries, len(relative)))
            found = [relative + name for name in _candidates(entries)]
        except OSError as error:
            yield error
            continue
        wanted = (name for name in found if not excluded.match_file(name) and not _ignored(name, specs))
        pending.extend((name, specs) for name in sorted(wanted, reverse=True))


def check_patterns(option: str, patterns: Sequence[str]) -> None:
    """Raise HipError (usage), naming `option`, for a pattern that means nothing."""
    for pattern in patterns:
        if not _is_pattern(pattern):
            raise HipError(
                f"{option} {pattern}: not a pattern",
                "write it as in a .gitignore, for example '*.md' or 'docs/**/*.txt'",
                ExitCode.USAGE,
            )


def _candidates(entries: Iterable[os.DirEntry[str]]) -> Iterator[str]:
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir(follow_symlinks=False):
            yield f"{entry.name}/"
        elif entry.is_file(follow_symlinks=False):
            yield entry.name


def _ignored(path: str, specs: _Specs) -> bool:
    """As git has it: the innermost .gitignore with anything to say about `path` decides."""
    for start, spec in reversed(specs):
        verdict: bool | None = spec.check_file(path[start:]).include
        if verdict is not None:
            return verdict
    return False


def _read_gitignore(entries: Iterable[os.DirEntry[str]], start: int) -> _Specs:
    for entry in entries:
        if entry.name == ".gitignore" and entry.is_file(follow_symlinks=False):
            with open(entry.path, "rb") as file:
                lines = os.fsdecode(file.read().replace(b"\r\n", b"\n")).split("\n")
            return ((start, GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))),)
    return ()


def _is_pattern(line: str) -> bool:
    """Whether git would make anything of `line`; it passes over the rest."""
    try:
        return any(pattern.include is not None for pattern in GitIgnoreSpec.from_lines([line]).patterns)
    except Exception:  # an odd character class raises whatever the regular expression compiler does
        return False
