"""Reading documents with a session: what it keeps is not read again, and what is read is kept as it comes."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hipcli.disk.sessions import Session, size_of
from hipcli.errors import HipError
from hipcli.output.progress import Update

if TYPE_CHECKING:
    from hipcli.engine.runtime import Reader

SAVE_INTERVAL_S = 120.0
_QUICK_BYTES = 2**27  # a fraction of a second: as long as somebody who has pressed Ctrl-C may be kept waiting


def read(
    reader: "Reader",
    ids: Sequence[int],
    session: Session | None,
    update: Update,
    warn: Callable[[str], None],
    interval_s: float = SAVE_INTERVAL_S,
    hold: bool = False,
) -> int:
    """Have `reader` read `ids`, all that `session` does not keep already, and release the session unless `hold`.

    Returns how many tokens it kept. What was read is saved every `interval_s` seconds, and sooner where it is much, so
    that it is quick to save the rest when an interrupt ends the reading. A session that cannot be written costs a
    warning, not the answer.
    """
    if session is None:
        for progress in reader.read(ids):
            update(progress.done, progress.total)
        return 0
    restored = session.saved
    for snapshot in session.load():
        reader.restore(snapshot)
    saver = _Saver(reader, session, warn)
    saved_at = time.monotonic()
    try:
        for progress in reader.read(ids):
            update(progress.done, progress.total)
            if time.monotonic() - saved_at >= interval_s or saver.unsaved_bytes() > _QUICK_BYTES:
                saver.save()
                saved_at = time.monotonic()
    except KeyboardInterrupt:
        if saver.unsaved_bytes() <= _QUICK_BYTES:
            saver.save()
        raise
    saver.save()
    if not hold:
        session.release()
    return restored


class _Saver:
    """Saves what a reader has read until that fails once."""

    def __init__(self, reader: "Reader", session: Session, warn: Callable[[str], None]) -> None:
        self._reader = reader
        self._session = session
        self._warn = warn
        self._failed = False

    def unsaved_bytes(self) -> int:
        start, stop = self._session.saved, self._reader.length
        return size_of(self._reader.export(start, stop)) if start < stop else 0

    def save(self) -> None:
        if self._failed:
            return
        try:
            self._session.save(self._reader.length, self._reader.export)
        except HipError as error:
            self._failed = True
            self._warn(f"the session is not saved: {error.message}")
