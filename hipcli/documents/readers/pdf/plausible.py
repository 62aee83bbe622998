"""Whether text looks like words in some script, or like the numbers of glyphs that were taken for letters."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_ODD = 0.2  # share of letters that hardly any language has
_GLYPH_NAMES = 0.2  # share of the text
_SHAPED = 0.6  # share of the text that is shaped like words
_MOST_SIGNS = 20  # of a page that has few letters besides
_LEAST_LETTERS = 50  # of a page that is judged by how few different letters it has

_ODD_LETTER = re.compile("[\u0180-\u0191\u0193-\u01cc\u01dd-\u0217\u021c-\u02ba\u02bd-\u02c5\u0460-\u052f]")
# Glyphs by name or number, as pypdf writes them: /g18, /C71, /uni20AC, /one.oldstyle
_GLYPH_NAME = re.compile(r"/[A-Za-z]{1,8}(?:[0-9A-F]{1,6}|\.[a-z]{1,12})")
_APART = re.compile(r"[-\u2010-\u2015'\u2019/.,:@\u00a0]")
_EDGES = "()[]{}<>\"'“”‘’„«»‹›.,;:!?…·•*§†‡©®™%‰°$€£#+=–—-|_/&\u25a0\u25cf"
# The bytes of Cyrillic letters in UTF-8, two by two, look like these syllables.
_CYRILLIC_AS_HANGUL = re.compile("[\ud080-\ud0bf\ud180-\ud18f]")
_NO_CHARACTERS = "\0\uffff"
_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "FULLWIDTH", "HALFWIDTH", "HANGUL", "IDEOGRAPHIC")
_SCRIPTS = 5  # that one page hardly has at once
_SCRIPT_SHARE = 0.03


def is_plausible(text: str) -> bool:
    """Whether `text`, which need not be a sentence, looks like something that people write."""
    words = text.split()
    length = sum(map(len, words))
    if not length or sum(map(text.count, _NO_CHARACTERS)) > _ODD * length or has_few_letters(text):
        return False
    if sum(map(len, _GLYPH_NAME.findall(text))) > _GLYPH_NAMES * length:
        return False
    letters = [character for character in text if character.isalpha()]
    if len(_ODD_LETTER.findall(text)) > _ODD * len(letters) or _is_mixed(letters):
        return False
    return sum(len(word) for word in words if _is_shaped(word)) >= _SHAPED * length


def has_few_letters(text: str) -> bool:
    """Whether a whole page is written in one letter or two: some fonts say that every glyph shows the same."""
    if len(set(text)) > _MOST_SIGNS:
        return False
    counts = {character: count for character, count in Counter(text).items() if character.isalpha()}
    return len(counts) in (1, 2) and sum(counts.values()) >= _LEAST_LETTERS


def _is_mixed(letters: Sequence[str]) -> bool:
    """Whether they are from more scripts than anybody mixes."""
    scripts: Counter[str] = Counter()
    for letter, count in Counter(letters).items():
        scripts[unicodedata.name(letter, "?").partition(" ")[0]] += count
    common = [script for script, count in scripts.items() if count >= _SCRIPT_SHARE * len(letters)]
    return len([script for script in common if script not in _EAST_ASIAN]) >= _SCRIPTS


def _is_shaped(word: str) -> bool:
    """Whether a word has letters of one case, or a capital first, or is a number."""
    if len(_CYRILLIC_AS_HANGUL.findall(word)) > len(word) / 2:
        return False
    inner = word.strip(_EDGES)
    return all(_is_word_or_number(part) for part in _APART.split(inner) if part)


def _is_word_or_number(part: str) -> bool:
    letters = "".join(character for character in part if not unicodedata.category(character).startswith("M"))
    if any(character.isalpha() and character.lower() == character.upper() for character in letters):
        return True  # of a script without capitals
    if letters.isdecimal() or len(letters) == 1:
        return True
    return letters.isalpha() and (letters.islower() or letters.isupper() or letters == letters.capitalize())
