"""Fields of forms in a PDF: what is filled in, ticked or chosen, which is not in what the page draws."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from hipcli.documents.readers.pdf.annotations import annotations, box_of, is_shown, one_line, string_of, utf16
from hipcli.documents.readers.pdf.page_objects import Box

_LABEL = 100  # characters that are kept of a label
_LEFT_OF = 300.0  # points; a label may be as far from its field
_RIGHT_OF = 200.0
_ABOVE = 14.0
_PASSWORD = 1 << 13  # flag of a text field
_TICKED = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)
_CHOSEN = (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)


class _Field(NamedTuple):
    """A field on a page. `value` is None for a box to tick."""

    kind: int
    box: Box
    name: str
    hint: str
    value: str | None
    ticked: bool


def open_form(document: pypdfium2.PdfDocument) -> None:
    """Make the fields of the document known, before its pages are loaded. The document closes what this opens."""
    if pdfium.FPDF_GetFormType(document) != pdfium.FORMTYPE_NONE and not document.formenv:
        # Not init_forms, which prints about XFA.
        config = pdfium.FPDF_FORMFILLINFO(version=2)
        handle = pdfium.FPDFDOC_InitFormFillEnvironment(document, config)
        if handle:
            document.formenv = pypdfium2.PdfFormEnv(handle, config)


def values(document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage) -> list[str]:
    """Lines for the fields of a page that are filled in, and for the boxes to tick, from its top to its foot."""
    if not document.formenv:
        return []
    fields = sorted(_fields(document.formenv, page), key=lambda field: (-round(field.box[3] / 4), field.box[0]))
    lines = []
    for field in fields:
        if field.value is None:
            lines.append(f"[{'x' if field.ticked else ' '}] {_label(field, fields, textpage)}")
        elif field.value and one_line(field.value) not in one_line(textpage.get_text_bounded(*_wider(field.box))):
            lines.append(f"[form: {_label(field, fields, textpage)} = {field.value}]")
    return lines


def _fields(form: Any, page: pypdfium2.PdfPage) -> Iterator[_Field]:
    for _, subtype, handle in annotations(page):
        if subtype != pdfium.FPDF_ANNOT_WIDGET or not is_shown(handle):
            continue
        kind = pdfium.FPDFAnnot_GetFormFieldType(form, handle)
        if kind not in (*_TICKED, *_CHOSEN, pdfium.FPDF_FORMFIELD_TEXTFIELD):
            continue
        if kind == pdfium.FPDF_FORMFIELD_TEXTFIELD and pdfium.FPDFAnnot_GetFormFieldFlags(form, handle) & _PASSWORD:
            continue  # a viewer shows dots
        name = _string(pdfium.FPDFAnnot_GetFormFieldName, form, handle)
        if kind == pdfium.FPDF_FORMFIELD_RADIOBUTTON:  # all buttons of a group have its name
            name = f"{name}: {_string(pdfium.FPDFAnnot_GetFormFieldExportValue, form, handle)}"
        hint = _string(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, handle)
        ticked = kind in _TICKED and bool(pdfium.FPDFAnnot_IsChecked(form, handle))
        yield _Field(kind, box_of(handle), name, hint, _value(kind, form, handle), ticked)


def _value(kind: int, form: Any, handle: Any) -> str | None:
    if kind in _TICKED:
        return None
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
    beside = _right(field, fields, textpage) if field.value is None else ""
    label = one_line(field.hint) or beside or _left(field, fields, textpage) or _above(field, textpage)
    return (label or one_line(field.name))[:_LABEL].strip(" :.…_")


def _right(field: _Field, fields: Sequence[_Field], textpage: pypdfium2.PdfTextPage) -> str:
    _, bottom, right, top = field.box
    others = [other.box[0] for other in fields if other.box[0] >= right and _level(other.box, field.box)]
    end = min([right + _RIGHT_OF, *others])
    return _text(textpage, (right, bottom, end, top))


def _left(field: _Field, fields: Sequence[_Field], textpage: pypdfium2.PdfTextPage) -> str:
    left, bottom, _, top = field.box
    others = [other.box[2] for other in fields if other.box[2] <= left and _level(other.box, field.box)]
    start = max([left - _LEFT_OF, *others])
    # A high field has its label beside its first line.
    return _text(textpage, (start, max(bottom, top - 2 * _ABOVE), left, top))


def _above(field: _Field, textpage: pypdfium2.PdfTextPage) -> str:
    left, _, right, top = field.box
    return _text(textpage, (left, top, right, top + _ABOVE))


def _text(textpage: pypdfium2.PdfTextPage, box: Box) -> str:
    return one_line(textpage.get_text_bounded(*box)) if box[0] < box[2] and box[1] < box[3] else ""


def _level(one: Box, other: Box) -> bool:
    return min(one[3], other[3]) > max(one[1], other[1])


def _wider(box: Box) -> Box:
    return box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1
