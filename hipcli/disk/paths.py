"""Where hip keeps its own files: one configuration directory and one cache, both private to the user."""

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """`$HIPCLI_CACHE_DIR`, or the platform's cache directory for hipcli. Not created here."""
    override = os.environ.get("HIPCLI_CACHE_DIR")
    return Path(override) if override else Path(platformdirs.user_cache_dir("hipcli", appauthor=False))


def config_dir() -> Path:
    """The platform's configuration directory for hipcli. Not created here."""
    return Path(platformdirs.user_config_dir("hipcli", appauthor=False))


def history_file() -> Path:
    """What was typed into `hip chat`. Not created here."""
    return cache_dir() / "history"


def private_dir(path: Path) -> Path:
    """Create `path` with its parents, readable by this user alone, and return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
