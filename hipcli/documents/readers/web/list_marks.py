"""The marks of ordered lists in HTML: 3, c, C, iii, III."""

from hipcli.documents.readers.office.numerals import roman


def list_mark(kind: str, number: int) -> str:
    """`number` as a list of this type ("1", "a", "A", "i", "I") shows it; in digits where it cannot."""
    if kind in ("a", "A") and number > 0:
        mark = _letters(number)
    else:
        mark = roman(number) if kind in ("i", "I") else str(number)
    return mark.upper() if kind.isupper() else mark


def _letters(number: int) -> str:
    """a to z, then aa, ab ..."""
    letters = ""
    while number:
        number, place = divmod(number - 1, 26)
        letters = chr(ord("a") + place) + letters
    return letters
