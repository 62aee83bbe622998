"""Finished units of an evaluation, one JSON line each, so that a killed run goes on where it stopped."""

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hipcli.errors import HipError

Record = dict[str, Any]


def key_of(identity: Mapping[str, Any]) -> str:
    """A short hash of everything that decides a unit's result."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Store:
    """Results by key, in memory and, with a path, in a file that any number of processes may append to at once.

    Raises HipError where the file cannot be read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._records: dict[str, Record] = {}
        if path is not None:
            self.reload()

    def reload(self) -> None:
        """Take in what other processes have appended."""
        if self._path is None or not self._path.exists():
            return
        try:
            lines = self._path.read_bytes().split(b"\n")
        except OSError as error:
            raise HipError(f"{self._path}: {error.strerror}") from error
        for line in lines:
            # A line that a killed process left unfinished is no JSON; the unit is run again.
            try:
                record = json.loads(line)
                self._records[record["key"]] = record
            except (ValueError, TypeError, KeyError):
                continue

    def get(self, key: str) -> Record | None:
        return self._records.get(key)

    def add(self, record: Record) -> None:
        """Keep `record` under record["key"]; it is on the disk when this returns."""
        self._records[record["key"]] = record
        if self._path is None:
            return
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        try:
            with open(self._path, "a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                size = file.seek(0, os.SEEK_END)
                if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                    line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise HipError(f"{self._path}: {error.strerror}") from error
