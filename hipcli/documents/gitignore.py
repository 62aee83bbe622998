"""The patterns of a .gitignore and the paths that they match: git's rules, in time linear in pattern and path.

Paths and patterns are bytes, as for git: "?" is one byte.
"""

import re
import string
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from hipcli.errors import ExitCode, HipError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ANY = rb"[^/\x00]"
_LETTERS, _DIGITS, _PUNCTUATION = string.ascii_letters, string.digits, string.punctuation
_NAMED_CLASSES = {
    name: frozenset(members.encode())
    for name, members in {
        b"alnum": _LETTERS + _DIGITS,
        b"alpha": _LETTERS,
        b"blank": " \t",
        b"cntrl": "".join(map(chr, (*range(1, 32), 127))),
        b"digit": _DIGITS,
        b"graph": _LETTERS + _DIGITS + _PUNCTUATION,
        b"lower": string.ascii_lowercase,
        b"print": _LETTERS + _DIGITS + _PUNCTUATION + " ",
        b"punct": _PUNCTUATION,
        b"space": " \t\n\r",
        b"upper": string.ascii_uppercase,
        b"xdigit": string.hexdigits,
    }.items()
}
# Tokens of a pattern that stand for any number of bytes; every other token is a regular expression for one byte.
_STAR = b"*"  # within a name
_ANY_FOLDERS = b"**/"
_SOME_FOLDERS = rb"**\/"  # git takes the escaped slash for one that must be there
_EVERYTHING = b"**"
_WILDCARD = re.compile(rb"[*?\[\\]")


class _Pattern(NamedTuple):
    """`regex` is for "NAME<NUL>PATH": NAME is the last part of PATH."""

    regex: bytes
    negated: bool
    only_directories: bool


class Patterns:
    """The patterns of one .gitignore, in order; lines that can never match anything are left out."""

    def __init__(self, lines: Iterable[bytes], ignore_case: bool = False) -> None:
        self._patterns = [pattern for line in lines if (pattern := _parse(line)) is not None]
        self._flags = re.IGNORECASE if ignore_case else 0

    @classmethod
    def from_file(cls, data: bytes, ignore_case: bool = False) -> "Patterns":
        lines = data.removeprefix(_BYTE_ORDER_MARK).split(b"\n")
        return cls((line.removesuffix(b"\r") for line in lines), ignore_case)

    def __len__(self) -> int:
        return len(self._patterns)

    def last_match(self, path: bytes, directory: bool) -> int:
        """The index of the last pattern that matches `path`, relative to where the patterns lie; -1 if none does."""
        numbers, regex = self._for_directories if directory else self._for_files
        found = regex.match(path[path.rfind(b"/") + 1 :] + b"\0" + path)
        return -1 if found is None or found.lastindex is None else numbers[found.lastindex - 1]

    def selects(self, index: int) -> bool:
        """Whether what pattern `index` matches last is meant; False for -1, and where "!" takes it back."""
        return index >= 0 and not self._patterns[index].negated

    def verdict(self, path: bytes, directory: bool) -> bool | None:
        """Whether `path` is meant; None if no pattern matches it."""
        index = self.last_match(path, directory)
        return None if index < 0 else self.selects(index)

    @cached_property
    def _for_files(self) -> tuple[list[int], re.Pattern[bytes]]:
        return self._compile([i for i, pattern in enumerate(self._patterns) if not pattern.only_directories])

    @cached_property
    def _for_directories(self) -> tuple[list[int], re.Pattern[bytes]]:
        return self._compile(list(range(len(self._patterns))))

    def _compile(self, numbers: list[int]) -> tuple[list[int], re.Pattern[bytes]]:
        # The last pattern comes first, so that the first alternative that matches decides; its empty group says which.
        numbers = numbers[::-1]
        alternatives = b"|".join(self._patterns[number].regex + b"()" for number in numbers)
        return numbers, re.compile(alternatives or b"(?!)", self._flags)


def check_patterns(option: str, patterns: Sequence[str]) -> None:
    """Raise HipError (usage), naming `option`, for a pattern that matches nothing, whatever the path."""
    for pattern in patterns:
        if _parse(pattern.encode("utf-8", "surrogateescape")) is None:
            raise HipError(
                f"{option} {pattern}: not a pattern",
                "write it as in a .gitignore, for example '*.md' or 'docs/**/*.txt'",
                ExitCode.USAGE,
            )


def _parse(line: bytes) -> _Pattern | None:
    pattern = _without_trailing_spaces(line.partition(b"\0")[0])
    if pattern.startswith(b"#"):
        return None
    negated = pattern.startswith(b"!")
    pattern = pattern[negated:]
    only_directories = pattern.endswith(b"/")
    pattern = pattern.removesuffix(b"/")
    by_path = b"/" in pattern
    tokens = _tokens(pattern.removeprefix(b"/"))
    if not tokens:
        return None
    regex = rb"[^\x00]*+\x00" + _regex(tokens) + rb"\Z" if by_path else _regex(tokens) + rb"\x00"
    return _Pattern(regex, negated, only_directories)


def _without_trailing_spaces(line: bytes) -> bytes:
    stripped = line.rstrip(b" ")
    backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    escaped = stripped != line and backslashes % 2 == 1
    return stripped + b" " if escaped else stripped


def _tokens(pattern: bytes) -> list[bytes] | None:
    """None for a pattern that can match nothing."""
    literal = len(_WILDCARD.split(pattern, 1)[0])
    tokens = []
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        if char == b"*":
            # git compares what comes before the first wildcard by itself, so that "**" there is at a start.
            starts = at == literal or pattern[at - 1 : at] == b"/"
            token, at = _stars(pattern, at, starts)
            tokens.append(token)
        elif char == b"[":
            members, at = _character_class(pattern, at + 1)
            if not members:
                return None
            tokens.append(_one_of(members))
        else:
            if char == b"\\":
                at += 1
                if at == len(pattern):
                    return None
            tokens.append(_ANY if char == b"?" else re.escape(pattern[at : at + 1]))
            at += 1
    return tokens


def _stars(pattern: bytes, at: int, starts: bool) -> tuple[bytes, int]:
    """The token of the stars at `at`, and where the next one begins; `starts`: they are at the start of a name."""
    end = at
    while pattern[end : end + 1] == b"*":
        end += 1
    if starts and end - at > 1:
        for follows, token in ((b"/", _ANY_FOLDERS), (rb"\/", _SOME_FOLDERS)):
            if pattern.startswith(follows, end):
                return token, end + len(follows)
        if end == len(pattern):
            return _EVERYTHING, end
    return _STAR, end


def _character_class(pattern: bytes, at: int) -> tuple[set[int], int]:
    """The bytes that the class matches whose "[" is before `at`, and where it ends; none if it is malformed.

    The first byte may be "]". After a range or a named class no range can begin.
    """
    negated = pattern.startswith((b"!", b"^"), at)
    at += negated
    start = at
    members: set[int] = set()
    before = 0
    closing = -1
    while at == start or pattern[at : at + 1] != b"]":
        if pattern.startswith(b"[:", at) and closing < at + 2:
            closing = pattern.find(b"]", at + 2)
            if closing < 0:
                return set(), at
        if pattern.startswith(b"[:", at) and closing > at + 2 and pattern[closing - 1 : closing] == b":":
            named = _NAMED_CLASSES.get(pattern[at + 2 : closing - 1])
            if named is None:
                return set(), at
            members |= named
            before, at = 0, closing + 1
            continue
        in_range = before > 0 and pattern.startswith(b"-", at) and pattern[at + 1 : at + 2] not in (b"", b"]")
        at += in_range
        at += pattern.startswith(b"\\", at)
        if at >= len(pattern):
            return set(), at
        members.update(range(before if in_range else pattern[at], pattern[at] + 1))
        before = 0 if in_range else pattern[at]
        at += 1
    members = (set(range(1, 256)) - members) if negated else members
    return members - {0, ord("/")}, at + 1


def _one_of(members: set[int]) -> bytes:
    """The regular expression for one of these bytes. Ranges keep it short, and so the time to compile it."""
    runs: list[list[int]] = []
    for member in sorted(members):
        if runs and runs[-1][-1] == member - 1:
            runs[-1].append(member)
        else:
            runs.append([member])
    return b"[" + b"".join(b"\\x%02x-\\x%02x" % (run[0], run[-1]) for run in runs) + b"]"


def _regex(tokens: list[bytes]) -> bytes:
    """Each part between two "**/" is looked for once, at the first folder where it matches: no later one is better.

    So nothing is tried again, and the time is at most the length of the pattern times that of the path.
    """
    parts = _split(tokens, (_ANY_FOLDERS, _SOME_FOLDERS))
    regex = _within_names(parts[0][1])
    for number, (gap, part) in enumerate(parts[1:], 2):
        folders = rb"(?:[^/\x00]*+/)*?" if gap == _ANY_FOLDERS else rb"(?:[^/\x00]*+/)+?"
        found = folders + _within_names(part)
        regex += found if number == len(parts) else b"(?>" + found + b")"
    return regex


def _within_names(tokens: list[bytes]) -> bytes:
    """The same for what stands between two stars; the last part is looked for from the end of the name."""
    everything = tokens[-1:] == [_EVERYTHING]
    parts = _split(tokens[:-1] if everything else tokens, (_STAR,))
    regex = b"".join(parts[0][1])
    for _, part in parts[1:-1]:
        regex += b"(?>" + _ANY + b"*?" + b"".join(part) + b")"
    if len(parts) > 1:
        regex += _ANY + b"*" + b"".join(parts[-1][1])
    return regex + (rb"[^\x00]*" if everything else b"")


def _split(tokens: list[bytes], gaps: tuple[bytes, ...]) -> list[tuple[bytes, list[bytes]]]:
    """The tokens between those in `gaps`, each part with the gap before it (none before the first)."""
    parts: list[tuple[bytes, list[bytes]]] = [(b"", [])]
    for token in tokens:
        if token in gaps:
            parts.append((token, []))
        else:
            parts[-1][1].append(token)
    return parts
