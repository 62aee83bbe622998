"""Layers of a PDF (optional content), which a viewer shows or does not show."""

import io
from collections.abc import Iterator
from functools import cached_property
from typing import Any


class Layers:
    """What a PDF says of its layers. pypdf looks it up, and only when it is asked for: PDFium does not tell."""

    def __init__(self, data: bytes, password: str | None) -> None:
        self._data = data
        self._password = password

    @cached_property
    def may_be_off(self) -> bool:
        """Whether any layer may not be shown; true where that cannot be found out."""
        if b"/OCProperties" not in self._data and b"/ObjStm" not in self._data and b"/Encrypt" not in self._data:
            return False
        try:
            return any(_signs(self._properties()))
        except Exception:  # on damaged files pypdf raises anything; whoever asks draws the page instead
            return True

    def _properties(self) -> Any:
        import pypdf

        reader = pypdf.PdfReader(io.BytesIO(self._data))
        if reader.is_encrypted and not reader.decrypt(self._password or ""):
            reader.decrypt("")
        return _get(reader.root_object, "/OCProperties")


def _signs(properties: Any) -> Iterator[bool]:
    """Whatever may switch a layer off."""
    default = _get(properties, "/D")
    yield bool(_get(default, "/OFF"))
    yield _get(default, "/BaseState") not in ("/ON", {})
    if _get(default, "/AS"):  # then a layer may say itself when it is shown
        groups = (group.get_object() for group in _get(properties, "/OCGs"))
        yield any(_get(_get(_get(group, "/Usage"), "/View"), "/ViewState") == "/OFF" for group in groups)


def _get(dictionary: Any, key: str) -> Any:
    return dictionary[key].get_object() if key in dictionary else {}
