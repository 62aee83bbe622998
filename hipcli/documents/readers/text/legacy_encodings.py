"""A guess at the encoding of text from before Unicode, by the letters that it would have."""

import re
import unicodedata
from collections import Counter
from functools import cache

from hipcli.documents.readers.text.alphabets import ALPHABETS, COMMON_CHARACTERS, WESTERN

# The likelier comes first, of those that fit as well as each other.
_MULTIBYTE = ("cp932", "euc_jp", "gb18030", "cp949", "big5hkscs")
_SINGLE_BYTE = (
    "cp1252", "cp1250", "cp1251", "koi8_r", "koi8_u", "cp850", "cp852", "cp437", "cp866", "iso8859_15", "iso8859_2",
    "iso8859_5", "cp1254", "cp1257", "cp1253", "iso8859_7", "cp1255", "cp1256", "mac_roman", "mac_cyrillic",
    "mac_latin2", "cp1258", "cp857", "cp775", "cp737", "cp862", "iso8859_6", "cp861", "cp865", "cp874",
)  # fmt: skip
# What any language may have between its words, so that it says nothing about which one it is.
_NEUTRAL = frozenset("“”„‚‘’«»‹›–—…•·°§©®™€£¥²³½¼¾×±´¨№\xa0\xad　「」（）！？：；《》・％")
_IN_WORDS = frozenset("’‘·\xad\xa0")
_BETWEEN_LETTERS = ("Mn", "Pd", "Pi", "Pf", "Po")
_MOST_LOOKED_AT = 2**12
_MOST_WINDOWS = 32
_LIKELY = 0.75
_ASCII = bytes(range(0x80))
_HIGH = re.compile(rb"[\x80-\xff]")
# Three characters of which the first or the second is outside ASCII, at each place where there are any.
_AROUND = re.compile(r"(?=([^\x00-\x7f]|.(?=[^\x00-\x7f]))(.)(.))", re.DOTALL)
_INSIDE_A_WORD = re.compile(r"(?<=[A-Za-z])[^\x00-\x7f](?=[A-Za-z])")
_BREAK = re.compile(rb"[\n ]")


def guess(data: bytes) -> tuple[str | None, float]:
    """The encoding, and how well its text looks like that of a language, 1 being best; None if it is in none."""
    sample = _sample(data)
    if len(sample) > 100 and len(set(sample)) < 4:  # what fills unused space
        return None, 0.0
    scores = {name: _score(sample, name) for name in (*_SINGLE_BYTE, *_MULTIBYTE)}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= _LIKELY:
        return best, scores[best]
    from charset_normalizer import from_bytes

    other = from_bytes(sample).best()
    return (None, 0.0) if other is None else (other.encoding, max(0.0, scores[best]))


def _sample(data: bytes) -> bytes:
    """Pieces with bytes outside ASCII from everywhere in `data`, each from the begin of a word to the end of one."""
    if len(data) <= _MOST_LOOKED_AT:
        return data
    pieces = []
    at = 0
    for window in range(_MOST_WINDOWS):
        at = max(at, len(data) // _MOST_WINDOWS * window)
        if window and (gap := _BREAK.search(data, at, at + _MOST_LOOKED_AT)):
            at = gap.end()
        found = _HIGH.search(data, at)
        if found is None:
            break
        start = max(at, data.rfind(b"\n", at, found.start()) + 1, data.rfind(b" ", at, found.start()) + 1)
        end = start + _MOST_LOOKED_AT // _MOST_WINDOWS
        gap = _BREAK.search(data, end, end + _MOST_LOOKED_AT)
        at = gap.end() if gap else end
        pieces.append(data[start:at])
    return b" ".join(pieces)


def _score(sample: bytes, name: str) -> float:
    """How well the text looks like that of a language; 1 at best, and below 0 where it is nonsense."""
    text = sample.decode(name, "replace")
    everything = Counter(text.encode("utf-8", "replace").translate(None, _ASCII).decode())
    foreign = Counter({character: count for character, count in everything.items() if character not in _NEUTRAL})
    if name in _MULTIBYTE:
        if not foreign or foreign["\ufffd"] > 1 + foreign.total() // 50:
            return 0.0
        most = max(_share(foreign, common) for common in _common())
        return 0.9 * min(1.0, 5 * most) + 0.1 * most - len(_INSIDE_A_WORD.findall(text)) / foreign.total()
    wrong = sum(_is_wrong(*found.group(1, 2, 3)) for found in _AROUND.finditer(f" {text}  "))
    # Frequent letters decide between alphabets of which every letter fits, as those of Russian and Hebrew do.
    fit = max(0.9 * _share(foreign, all_) + 0.1 * _share(foreign, frequent) for all_, frequent in _alphabets())
    fit = max(fit, 0.85 * _share(foreign, _western()))
    return fit - wrong / max(1, everything.total())


def _share(characters: Counter[str], known: frozenset[str]) -> float:
    if not characters:
        return 1.0
    return sum(count for character, count in characters.items() if character in known) / characters.total()


def _is_wrong(first: str, second: str, third: str) -> bool:
    """Whether three characters in a row are in no text: aÉ, a³b, aж, a— b, an accent that is on nothing."""
    if not first.isalpha() or (second.isascii() and not second.isalpha()):
        return unicodedata.category(second) == "Mn" and unicodedata.category(first) != "Mn"
    if second.isalpha():
        return (first.islower() and second.isupper()) or _script(first) != _script(second)
    if second in "–—":
        return third.isspace()
    if second in "„‚•":
        return True
    return third.isalpha() and second not in _IN_WORDS and unicodedata.category(second) not in _BETWEEN_LETTERS


@cache
def _script(letter: str) -> str:
    return "LATIN" if letter in "ªºµ" else unicodedata.name(letter, "none").partition(" ")[0]


@cache
def _alphabets() -> list[tuple[frozenset[str], frozenset[str]]]:
    """All letters of each alphabet, and the more frequent half of them."""
    halves = [(letters, letters[: len(letters) // 2]) for letters in ALPHABETS.values()]
    return [(frozenset(all_ + all_.upper()), frozenset(half + half.upper())) for all_, half in halves]


@cache
def _western() -> frozenset[str]:
    letters = "".join(ALPHABETS[language] for language in WESTERN)
    return frozenset(letters + letters.upper())


@cache
def _common() -> list[frozenset[str]]:
    return [frozenset(characters) for characters in COMMON_CHARACTERS.values()]
