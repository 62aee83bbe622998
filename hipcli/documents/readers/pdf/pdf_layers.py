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

    def hides_annotation(self, page: int, index: int) -> bool:
        """Whether a viewer does not show the annotation with this index, of the page with that index, for its layer.

        False where that cannot be found out.
        """
        if not self.may_be_off:
            return False
        try:
            layer = self._reader.pages[page]["/Annots"][index].get_object().raw_get("/OC")
            return not _is_shown(layer, self._properties()["/D"])
        except Exception:  # on damaged files pypdf raises anything
            return False

    def _properties(self) -> Any:
        return _get(self._reader.root_object, "/OCProperties")

    @cached_property
    def _reader(self) -> Any:
        import pypdf

        reader = pypdf.PdfReader(io.BytesIO(self._data))
        if reader.is_encrypted and not reader.decrypt(self._password or ""):
            reader.decrypt("")
        return reader


def _is_shown(layer: Any, default: Any) -> bool:
    """Whether a layer, or what depends on several, is shown by the `default` configuration."""
    content = layer.get_object()
    if content.get("/Type") != "/OCMD":
        return _is_on(layer, default)
    if "/OCGs" not in content:
        return True
    layers = content.raw_get("/OCGs")
    several = layers.get_object() if isinstance(layers.get_object(), list) else [layers]
    on = [_is_on(one, default) for one in several]
    by_policy = {"/AllOn": all(on), "/AnyOff": not all(on), "/AllOff": not any(on)}
    return not on or by_policy.get(content.get("/P"), any(on))


def _is_on(layer: Any, default: Any) -> bool:
    """`layer` is a reference, by which a configuration lists it."""
    off = default.get("/BaseState", "/ON") == "/OFF"
    return layer not in _get(default, "/OFF") if not off else layer in _get(default, "/ON")


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
