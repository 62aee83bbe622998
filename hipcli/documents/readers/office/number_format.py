"""Numbers of spreadsheets as a person sees them: dates in ISO form, percentages, currencies, leading zeros."""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from math import isfinite

GENERAL = "General"
_DATE = "yyyy-mm-dd"
_MONEY = "#,##0;-#,##0"
_MONEY_CENTS = "#,##0.00;-#,##0.00"
_BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00",
    **dict.fromkeys((14, 15, 16, 17, *range(27, 37), *range(50, 59)), _DATE),
    **dict.fromkeys((18, 20), "h:mm"), **dict.fromkeys((19, 21, 45, 47), "h:mm:ss"), 22: "yyyy-mm-dd h:mm",
    46: "[h]:mm:ss", 48: "0.0E+0",
    **dict.fromkeys((5, 6, 37, 38, 41, 42), _MONEY), **dict.fromkeys((7, 8, 39, 40, 43, 44), _MONEY_CENTS),
}  # fmt: skip
# Quoted and escaped text, spaces as wide as a letter, fill characters, brackets, exponents, single characters.
_TOKEN = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]|E[+-]|AM/PM|A/P|General|.', re.IGNORECASE | re.DOTALL)
_CURRENCY = re.compile(r"\[\$([^-\]]*)")
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_CONDITION = re.compile(r"\[[<>=]")
_LAST_DAY = 2958466  # after 9999-12-31
_LONGEST = 30  # digits after the point
_EXACT = Context(prec=400)  # more digits than any number of a spreadsheet has


@dataclass(frozen=True)
class _Section:
    """One of up to four parts of a format: for positive numbers, negative numbers, zero, text.

    `tokens` are ("digit", "0"), ("text", "€") and the like in their order.
    """

    tokens: tuple[tuple[str, str], ...]

    @property
    def letters(self) -> str:
        return "".join(text.lower() for kind, text in self.tokens if kind in ("date", "elapsed"))

    def has(self, kind: str) -> bool:
        return any(found == kind for found, _ in self.tokens)


def built_in(identifier: int) -> str:
    """The format that has no text in the file, by its number."""
    return _BUILT_IN.get(identifier, GENERAL)


def format_number(value: float, code: str, since_1904: bool = False) -> str:
    """A number in the format `code`; without it where the format is unknown here, or would show nothing."""
    sections = _parse(code)
    if not sections or not isfinite(value):
        return general(value)
    section, shown = sections[0], value
    if value < 0 and len(sections) > 1:
        section, shown = sections[1], -value
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    if section.letters:
        return _date(value, section, since_1904) or general(value)
    if section.has("general"):
        return "".join(general(shown) if kind == "general" else text for kind, text in section.tokens)
    if section.has("unknown"):
        return general(value)
    return _decimal(shown, section).strip() or general(value)


def general(value: float) -> str:
    """A number without a format, to the 15 digits that spreadsheets keep."""
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else f"{value:.15g}".upper()


@lru_cache(1024)
def _parse(code: str) -> tuple[_Section, ...]:
    """The sections of a format; none where it shows numbers as they are or depends on conditions."""
    if code in ("", GENERAL, "@") or _CONDITION.search(code):
        return ()
    sections: list[list[tuple[str, str]]] = [[]]
    for token in _TOKEN.findall(code):
        if token == ";":
            sections.append([])
        else:
            sections[-1] += _classify(token)
    return tuple(_Section(tuple(tokens)) for tokens in sections)


def _classify(token: str) -> Iterator[tuple[str, str]]:
    first = token[0]
    if first == '"' and len(token) > 1:
        yield "text", token[1:-1]
    elif first == "\\":
        yield "text", token[1:]
    elif first == "[" and len(token) > 1:
        currency = _CURRENCY.match(token)
        if currency:
            yield "text", currency[1]
        elif _ELAPSED.fullmatch(token):
            yield "elapsed", token[1]
    elif first in "_*" and len(token) > 1:
        yield "text", " " if first == "_" else ""
    elif token.lower() == "general":
        yield "general", token
    elif token.upper() in ("E+", "E-"):
        yield "exponent", token
    elif first in "0#?":
        yield "digit", token
    elif first in ".,%":
        yield {".": "point", ",": "comma", "%": "percent"}[first], token
    elif first.lower() in "ymdhsaegb":
        yield "date", "h" if first in "aA" else first
    elif first in "/@":
        yield "unknown" if first == "@" else "slash", token
    else:
        yield "text", token


def _date(value: float, section: _Section, since_1904: bool) -> str | None:
    letters = section.letters
    if section.has("elapsed"):
        seconds = round(abs(value) * 86400)
        return f"{'-' if value < 0 else ''}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if not 0 <= value < _LAST_DAY:
        return None
    has_time = "h" in letters or "s" in letters
    has_day = any(letter in letters for letter in "ydegb") or ("m" in letters and not has_time)
    start = datetime.datetime(1904, 1, 1) if since_1904 else datetime.datetime(1899, 12, 30 if value >= 60 else 31)
    try:
        moment = start + datetime.timedelta(seconds=round(value * 86400))
    except OverflowError:
        return None
    time = f"{moment:%H:%M:%S}" if "s" in letters or moment.second else f"{moment:%H:%M}"
    if not has_time:
        return f"{moment:%Y-%m-%d}" if moment.year >= 1000 else None
    return f"{moment.date().isoformat()} {time}" if has_day else time


def _decimal(value: float, section: _Section) -> str:
    kinds = [kind for kind, _ in section.tokens]
    if "exponent" in kinds:
        places = kinds[: kinds.index("exponent")]
        after = places[places.index("point") :].count("digit") if "point" in places else 0
        return f"{value:.{min(after, _LONGEST)}E}"
    if "slash" in kinds and "digit" in kinds:
        return general(value)  # a fraction
    point = kinds.index("point") if "point" in kinds else len(kinds)
    last = max((index for index, kind in enumerate(kinds) if kind == "digit"), default=-1)
    if last < 0:
        return "".join(text for kind, text in section.tokens if kind in ("text", "percent", "slash"))
    first = kinds.index("digit")
    scale = 100 ** kinds.count("percent")
    divided = 0
    while last + 1 + divided < len(kinds) and kinds[last + 1 + divided] == "comma":
        divided += 1
    places = [text for kind, text in section.tokens[point:] if kind == "digit"][:_LONGEST]
    exact = Decimal(f"{value:.15g}") * scale / 1000**divided
    rounded = f"{exact.quantize(Decimal(1).scaleb(-len(places)), ROUND_HALF_UP, _EXACT):f}"
    whole, _, fraction = rounded.lstrip("-").partition(".")
    while fraction and places[len(fraction) - 1] != "0" and fraction.endswith("0"):
        fraction = fraction[:-1]
    grouped = "comma" in kinds[first : min(point, last)]
    before = _fill(section.tokens[first:point], whole, grouped)
    sign = "-" if rounded.startswith("-") and (int(whole) or fraction.strip("0")) else ""
    head = "".join(text for kind, text in section.tokens[:first] if kind in ("text", "percent"))
    tail_from = max(last + 1 + divided, point + 1 if point < len(kinds) else 0)
    tail = "".join(text for kind, text in section.tokens[tail_from:] if kind in ("text", "percent"))
    return f"{sign}{head}{before}{'.' + fraction if fraction else ''}{tail}"


def _fill(tokens: tuple[tuple[str, str], ...], digits: str, grouped: bool) -> str:
    """Digits in their places, from the right: 12345 in 000-00-00 is 001-23-45."""
    places = [(kind, text) for kind, text in tokens if kind in ("digit", "text")]
    while places and places[-1][0] == "text":  # belongs after the number
        places.pop()
    zeros = sum(text == "0" for kind, text in places if kind == "digit")
    digits = digits.lstrip("0").rjust(zeros, "0")
    if not any(kind == "text" for kind, _ in places):
        return f"{int(digits):,}".rjust(zeros, "0") if grouped and digits else digits
    output: list[str] = []
    remaining = list(digits)
    first = next(index for index, (kind, _) in enumerate(places) if kind == "digit")
    for index in range(len(places) - 1, -1, -1):
        kind, text = places[index]
        if kind == "text":
            output.append(text)
        elif remaining:
            output.append("".join(remaining) if index == first else remaining.pop())
    return "".join(reversed(output))
