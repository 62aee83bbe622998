"""Characters of text taken out of a PDF: control characters, ligatures, hyphens that PDFium took out."""

import re

# PDFium puts one of these where it took out a hyphen, hard or soft, and the line end after it.
_REMOVED_HYPHEN = re.compile("[\x02\ufffe]")
# A PDF draws all its hyphens: a soft one within a line is a hyphen of a font that calls it so.
_SOFT_HYPHEN = re.compile(r"\u00ad(?!\n)")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\uffff]")
# Only these seven: NFKC would also turn x² into x2.
_LIGATURES = dict(zip("ﬀﬁﬂﬃﬄﬅﬆ", ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
_LIGATURE = re.compile(f"[{''.join(_LIGATURES)}]")


def clean(text: str) -> str:
    """Text of one page without what is no text; its lines end in "\\n" and not in spaces."""
    text = _REMOVED_HYPHEN.sub("-\n", text.replace("\r\n", "\n"))
    text = _SOFT_HYPHEN.sub("-", _CONTROLS.sub("", text))
    text = _LIGATURE.sub(lambda ligature: _LIGATURES[ligature[0]], text)  # a table for translate takes 40 times as long
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
