"""Fields of forms in a PDF: what is filled in, ticked or chosen, and captions, which are not in what the page draws."""

import ctypes
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.readers.pdf.annotations import (
    Drawn,
    annotations,
    box_of,
    draws_text,
    holds,
    one_line,
    string_of,
    utf16,
)
from hipcli.documents.readers.pdf.page_objects import Box

HIDDEN = "hidden field"

_LABEL = 100  # characters that are kept of a label
_LEFT_OF = 300.0  # points; a label may be as far from its field
_RIGHT_OF = 200.0
_ABOVE = 14.0
_REACHES = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)  # in which a label is looked for on both sides
_PASSWORD = 1 << 13  # flag of a text field
_PUSH_BUTTON = 1 << 16  # flags of a button
_RADIO = 1 << 15
_TICKED = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)
_CHOSEN = (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)


class _Field(NamedTuple):
    """A field on a page, with its index among the annotations.

    `value` is None for a box to tick. `draws`: its appearance may have text. `secret`: a viewer shows dots.
    """

    number: int
    kind: int
    box: Box
    name: str
    hint: str
    value: str | None
    ticked: bool
    draws: bool
    secret: bool = False

    @property
    def filled_in(self) -> bool:
        if self.kind == pdfium.FPDF_FORMFIELD_PUSHBUTTON:
            return False
        # A list shows all that can be chosen.
        return self.ticked or bool(self.value) or (self.draws and self.kind != pdfium.FPDF_FORMFIELD_LISTBOX)


def open_form(document: pypdfium2.PdfDocument) -> None:
    """Make the fields of the document known, before its pages are loaded. The document closes what this opens."""
    if pdfium.FPDF_GetFormType(document) != pdfium.FORMTYPE_NONE and not document.formenv:
        # Not init_forms, which prints about XFA.
        config = pdfium.FPDF_FORMFILLINFO(version=2)
        handle = pdfium.FPDFDOC_InitFormFillEnvironment(document, config)
        if handle:
            document.formenv = pypdfium2.PdfFormEnv(handle, config)


class Values(NamedTuple):
    """Lines for the fields of a page, from its top to its foot; `counts` of fields that are filled in and not among
    them; those whose text only their appearance has.
    """

    lines: tuple[str, ...] = ()
    counts: Mapping[str, int] = {}
    drawn: tuple[Drawn, ...] = ()


def values(
    document: pypdfium2.PdfDocument,
    page: pypdfium2.PdfPage,
    textpage: pypdfium2.PdfTextPage,
    is_shown: Callable[[int, Any], bool],
    keep_hidden: bool = False,
) -> Values:
    """The fields of a page that are filled in, boxes to tick, and buttons.

    `is_shown` says whether a viewer shows the annotation with this index and handle; `keep_hidden` are others, too.
    """
    fields, hidden = [], 0
    for field, shown in _fields(document.formenv, page, is_shown):
        if (shown and not field.secret) or keep_hidden:
            fields.append(field)
        else:
            hidden += field.filled_in
    fields.sort(key=lambda field: (-round(field.box[3] / 4), field.box[0]))
    lines: list[str] = []
    drawn: list[Drawn] = []
    for field in fields:
        if field.value is None:
            lines.append(f"[{'x' if field.ticked else ' '}] {_label(field, fields, textpage)}")
        elif field.kind == pdfium.FPDF_FORMFIELD_PUSHBUTTON and field.draws:
            drawn.append(Drawn(field.number, "button", field.box))
        elif not field.value and field.filled_in:
            drawn.append(Drawn(field.number, f"form: {_label(field, fields, textpage)}", field.box))
        elif field.value and not holds(textpage.get_text_bounded(*_wider(field.box)), field.value):
            lines.append(f"[form: {_label(field, fields, textpage)} = {field.value}]")
    return Values(tuple(lines), {HIDDEN: hidden} if hidden else {}, tuple(drawn))


def _fields(form: Any, page: pypdfium2.PdfPage, is_shown: Callable[[int, Any], bool]) -> Iterator[tuple[_Field, bool]]:
    """The fields of a page, each with whether a viewer shows it."""
    for index, subtype, handle in annotations(page):
        if subtype != pdfium.FPDF_ANNOT_WIDGET:
            continue
        kind = pdfium.FPDFAnnot_GetFormFieldType(form, handle) if form else -1
        field = _of_no_form(index, handle) if kind < 0 else _of_form(index, kind, form, handle)
        if field:
            yield field, is_shown(index, handle)


def _of_form(index: int, kind: int, form: Any, handle: Any) -> _Field | None:
    if kind not in (*_TICKED, *_CHOSEN, pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_PUSHBUTTON):
        return None
    is_text = kind == pdfium.FPDF_FORMFIELD_TEXTFIELD
    secret = is_text and bool(pdfium.FPDFAnnot_GetFormFieldFlags(form, handle) & _PASSWORD)
    name = _string(pdfium.FPDFAnnot_GetFormFieldName, form, handle)
    if kind == pdfium.FPDF_FORMFIELD_RADIOBUTTON:  # all buttons of a group have its name
        name = f"{name}: {_string(pdfium.FPDFAnnot_GetFormFieldExportValue, form, handle)}"
    hint = _string(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, handle)
    ticked = kind in _TICKED and bool(pdfium.FPDFAnnot_IsChecked(form, handle))
    draws = draws_text(handle) and not secret
    return _Field(index, kind, box_of(handle), name, hint, _value(kind, form, handle), ticked, draws, secret)


def _of_no_form(index: int, handle: Any) -> _Field | None:
    """A field that the document's form does not list, as after pages were taken from another document."""
    number = ctypes.c_float()
    pdfium.FPDFAnnot_GetNumberValue(handle, b"Ff", number)
    flags, kind, state = int(number.value), string_of(handle, "FT"), string_of(handle, "AS")
    name, hint = string_of(handle, "T"), string_of(handle, "TU")
    box, secret = box_of(handle), kind == "Tx" and bool(flags & _PASSWORD)
    if kind == "Sig":
        return None
    if kind == "Btn" and flags & _PUSH_BUTTON:
        return _Field(index, pdfium.FPDF_FORMFIELD_PUSHBUTTON, box, name, hint, "", False, draws_text(handle))
    if kind == "Btn" or state:
        is_radio = kind == "Btn" and flags & _RADIO
        ticked = pdfium.FPDF_FORMFIELD_RADIOBUTTON if is_radio else pdfium.FPDF_FORMFIELD_CHECKBOX
        return _Field(index, ticked, box, name, hint, None, state not in ("", "Off"), False)
    draws = draws_text(handle) and not secret
    value = string_of(handle, "V")
    return _Field(index, pdfium.FPDF_FORMFIELD_TEXTFIELD, box, name, hint, value, False, draws, secret)


def _value(kind: int, form: Any, handle: Any) -> str | None:
    if kind in _TICKED:
        return None
    if kind == pdfium.FPDF_FORMFIELD_PUSHBUTTON:
        return ""
    if kind in _CHOSEN:
        chosen = [
            utf16(partial(pdfium.FPDFAnnot_GetOptionLabel, form, handle, index))
            for index in range(pdfium.FPDFAnnot_GetOptionCount(form, handle))
            if pdfium.FPDFAnnot_IsOptionSelected(form, handle, index)
        ]
        if chosen:
            return ", ".join(chosen)
    return _string(pdfium.FPDFAnnot_GetFormFieldValue, form, handle) or string_of(handle, "V")


def _string(function: Any, form: Any, handle: Any) -> str:
    return utf16(partial(function, form, handle))


def _label(field: _Field, fields: Sequence[_Field], textpage: pypdfium2.PdfTextPage) -> str:
    """What the page prints beside the field; else what the field is called."""
    if one_line(field.hint):
        label = one_line(field.hint)
    elif field.value is None:
        label = _beside_tick(field, _room(field, fields), textpage)
    else:
        label = _left(field, _room(field, fields), textpage, _LEFT_OF) or _above(field, textpage)
    return (label or one_line(field.name))[:_LABEL].strip(" :.…_")


def _beside_tick(field: _Field, room: tuple[float, float], textpage: pypdfium2.PdfTextPage) -> str:
    """The label on the nearer side; with the name of the field where both are as near, so that it misleads nobody."""
    for reach in _REACHES:
        right = _right(field, room, textpage, reach)
        left = _left(field, room, textpage, reach)
        if right and left:
            return " - ".join(filter(None, (_right(field, room, textpage, _RIGHT_OF), one_line(field.name))))
        if right:
            return _right(field, room, textpage, _RIGHT_OF)
        if left:
            return _left(field, room, textpage, _LEFT_OF)
    return _above(field, textpage)


def _room(field: _Field, fields: Sequence[_Field]) -> tuple[float, float]:
    """Where the nearest fields end and begin, to the left and to the right of the field."""
    left, _, right, _ = field.box
    level = [other.box for other in fields if _level(other.box, field.box)]
    return (
        max((box[2] for box in level if box[2] <= left), default=-math.inf),
        min((box[0] for box in level if box[0] >= right), default=math.inf),
    )


def _right(field: _Field, room: tuple[float, float], textpage: pypdfium2.PdfTextPage, reach: float) -> str:
    _, bottom, right, top = field.box
    return _text(textpage, (right, bottom, min(right + reach, room[1]), top))


def _left(field: _Field, room: tuple[float, float], textpage: pypdfium2.PdfTextPage, reach: float) -> str:
    left, bottom, _, top = field.box
    # A high field has its label beside its first line.
    return _text(textpage, (max(left - reach, room[0]), max(bottom, top - 2 * _ABOVE), left, top))


def _above(field: _Field, textpage: pypdfium2.PdfTextPage) -> str:
    left, _, right, top = field.box
    return _text(textpage, (left, top, right, top + _ABOVE))


def _text(textpage: pypdfium2.PdfTextPage, box: Box) -> str:
    return one_line(textpage.get_text_bounded(*box)) if box[0] < box[2] and box[1] < box[3] else ""


def _level(one: Box, other: Box) -> bool:
    return min(one[3], other[3]) > max(one[1], other[1])


def _wider(box: Box) -> Box:
    return box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1
