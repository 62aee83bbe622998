"""What a terminal is shown of a text, whole and in pieces."""

import pytest

from hipcli.output.printable import Printable, as_text, printable

ZWNJ, ZWJ, ZWSP = "\u200c", "\u200d", "\u200b"

SHOWN = [
    # Text as it is.
    ("plain\n\ttext é 漢 नमस्ते שלום", None),
    ("\u00a0\u2003\u3000 spaces", None),
    ("a\r\nb\r\n", None),
    # Controls: C0, DEL, C1, a carriage return alone.
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ("\x00\x08\x0b\x0c\x1f\x7f", r"\x00\x08\x0b\x0c\x1f\x7f"),
    ("a\x9b31mb\x80\x85\x9f", r"a\x9b31mb\x80\x85\x9f"),
    ("good\rbad\r\r\n\r", "good\\rbad\\r\r\n\\r"),
    # What turns text around or ends its line.
    ("\u061c\u200e\u200f\u202a\u202e\u2066\u2069", r"\u061c\u200e\u200f\u202a\u202e\u2066\u2069"),
    ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
    # What cannot be seen.
    (f"pass{ZWSP}word", r"pass\u200bword"),
    ("\u2060\u2061\u2064\u206f\ufeff\u180e", r"\u2060\u2061\u2064\u206f\ufeff\u180e"),
    ("\ufff9base\ufffanote\ufffb", r"\ufff9base\ufffanote\ufffb"),
    ("\U000e0001\U000e0041\U000e007f", r"\U000e0001\U000e0041\U000e007f"),
    ("\u115f\u1160\u3164\uffa0\u17b4\u17b5", r"\u115f\u1160\u3164\uffa0\u17b4\u17b5"),
    # What no text holds.
    ("\ud800\udce9\uffff\ufdd0\U0010ffff", r"\ud800\udce9\uffff\ufdd0\U0010ffff"),
    # Joiners where scripts and emoji need them, and where they do not.
    (f"می{ZWNJ}خواهم", None),
    (f"क्{ZWJ}ष", None),
    (f"👩🏽{ZWJ}👩{ZWJ}👧 ❤\ufe0f{ZWJ}🔥", None),
    (f"ad{ZWJ}min ad{ZWNJ}min", r"ad\u200dmin ad\u200cmin"),
    (f"می{ZWNJ}{ZWNJ}خ {ZWJ}", r"می\u200c\u200cخ \u200d"),
    ("co\xadop \xad1", r"co" + "\xad" + r"op \xad1"),
    (f"ខ្មែរ{ZWSP}ភាសា", None),
    # Selectors: one, after something visible.
    ("葛\U000e0100 ☺\ufe0f 1\ufe0f\u20e3", None),
    ("\ufe0f☺\ufe0f\ufe0e\U000e0100 \ufe0f", r"\ufe0f☺" + "\ufe0f" + r"\ufe0e\U000e0100 \ufe0f"),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_what_is_shown(text: str, shown: str | None) -> None:
    assert printable(text) == (text if shown is None else shown)


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_pieces_show_what_the_whole_does(text: str, shown: str | None) -> None:
    for size in (1, 2, 3):
        made = Printable()
        pieces = [made.feed(text[start : start + size]) for start in range(0, len(text), size)]
        assert "".join(pieces) + made.end() == (text if shown is None else shown)


def test_every_character_that_is_no_character_is_found() -> None:
    doubtful = [*range(0xD800, 0xE000), *range(0xFDD0, 0xFDF0)]
    doubtful += [plane + low for plane in range(0, 0x110000, 0x10000) for low in (0xFFFE, 0xFFFF)]
    for code in doubtful:
        assert as_text(f"a{chr(code)}b") == "a\ufffdb"


def test_text_elsewhere_stays_as_it_is() -> None:
    assert as_text("\x1b[31m\x9b\u202e\u200b\r\x01\ufffd") == "\x1b[31m\x9b\u202e\u200b\r\x01\ufffd"
    assert as_text("a\0\ud800\uffffb") == "a\ufffd\ufffd\ufffdb"
