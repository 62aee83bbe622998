"""For tests against git: run it without the settings of the machine, and random patterns and paths."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

_IN_CLASSES = ("a", "b", "c", "a-c", "-", "]", "\\]", "[:alpha:]", "[:digit:]", "[:x:]", "[:", "[", "/", "z-a", "a-\\c")


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """What git prints in `folder`. Tests set HOME, so that the user's own settings do not count."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", folder, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment)
    assert done.returncode in (0, 1), done.stderr  # 1: there is nothing to say
    return done.stdout


def random_pattern(chance: random.Random) -> str:
    """A line of a .gitignore, well-formed or not."""
    makers = {
        lambda: chance.choice("abc"): 40,
        lambda: "*": 10,
        lambda: "**": 6,
        lambda: "/": 9,
        lambda: "/**/": 5,
        lambda: "?": 5,
        lambda: "\\" + chance.choice("ab*?[]\\/ !#-"): 4,
        lambda: _random_class(chance): 13,
        lambda: chance.choice(["ab", "-", "]", "!", "^", " ", "\\", "é", ":"]): 8,
    }
    parts = chance.choices(list(makers), list(makers.values()), k=chance.randint(1, 8))
    pattern = "".join(part() for part in parts)
    before = chance.choices(["", "!", "/", "!/"], [70, 15, 10, 5])[0]
    after = chance.choices(["", "/", " ", "  ", "\r"], [70, 15, 5, 5, 5])[0]
    return before + pattern + after


def random_path(chance: random.Random) -> str:
    """One to four short names, none of them hidden."""
    characters = ["a", "b", "c", "a", "b", "ab", "-", "]", "1", "[", ":", " ", "é", "\\", "!", "*"]
    names = ("".join(chance.choices(characters, k=chance.randint(1, 4))) for _ in range(chance.randint(1, 4)))
    path = "/".join(names)
    return path if path[0] != ":" else f"a{path}"  # which some commands of git take for a sign


def _random_class(chance: random.Random) -> str:
    members = "".join(chance.choices(_IN_CLASSES, k=chance.randint(1, 3)))
    return "[" + chance.choice(["", "", "!", "^"]) + members + chance.choice(["]", "]", "]", "]", ""])
