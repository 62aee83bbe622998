"""The numbers of lists and headings as office programs write them: 3, c, C, iii, III."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
    (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_MOST_REPEATED = 20  # letters: programs write zzz for 78


def letters(value: int) -> str:
    """a to z, then aa to zz; figures where there are none."""
    if not 0 < value <= _MOST_REPEATED * len(_LETTERS):
        return str(value)
    return _LETTERS[(value - 1) % 26] * ((value - 1) // 26 + 1)


def roman(value: int) -> str:
    """A Roman number in small letters; figures where there is none."""
    if not 0 < value < 4000:
        return str(value)
    text = ""
    for size, digits in _ROMAN:
        text += digits * (value // size)
        value %= size
    return text


def integer(text: str | None, default: int) -> int:
    """The number in an attribute; `default` where it is missing, none, or absurd."""
    try:
        return default if text is None or len(text) > 9 else int(text)
    except ValueError:
        return default
