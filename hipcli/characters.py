"""Characters that show nothing or steer what shows them, as the insides of character classes of regular expressions."""

# No text holds these: NUL, halves of surrogate pairs, and code points that are no characters by definition.
_PLANES = "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(0x11))
NOT_TEXT = rf"\0\ud800-\udfff\ufdd0-\ufdef{_PLANES}"
# Controls but for line feed and tab, line and paragraph separators, and what Unicode calls default ignorable:
# directions, fillers, joiners, tags.
UNSEEN = (
    rf"{NOT_TEXT}\x01-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
LINE_BREAKS = r"\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
