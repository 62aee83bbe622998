"""Subtitles (SRT, WebVTT): what is said, each line below the time at which it begins."""

import re
from html import unescape

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.text.text import decode_text

_TIMES = re.compile(r"\s{0,9}((?:\d{1,4}:)?\d{1,2}:\d{2})[.,]\d{1,3}\s{0,9}-->")
_TAG = re.compile(r"</?(?:[bcivu]|lang|ruby|rt|font)(?:[ .\t][^<>\n]*)?>|<\d[\d:.]*>|\{\\[a-z]+\d*\}", re.IGNORECASE)
_VOICE = re.compile(r"<v(?:\.[^<>\s]*)?[ \t]([^<>\n]*)>")


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The subtitles in `data` as one page of lines "[0:01:15] text". Raises HipError as decode_text does."""
    decoded = decode_text(data, where, options.encoding)
    marked = decoded.text.startswith("WEBVTT")
    text, notes = _spoken(decoded.text.split("\n"), marked)
    return Content(
        kind="vtt" if marked else "srt",
        reader="subtitles",
        pages=(Page(1, text or decoded.text),),
        encoding=decoded.encoding,
        dropped=(f"{notes:,} characters of notes and styles left out.",) if text and notes else (),
        warnings=decoded.warnings if text else (*decoded.warnings, "has no times as subtitles do; it is read as text."),
    )


def _spoken(lines: list[str], is_vtt: bool) -> tuple[str, int]:
    """The subtitles among `lines`, "" if there are none, and how many characters are notes and styles.

    A counter or a name stands in the line before the times.
    """
    spoken: list[str] = []
    texts: list[str] = []  # since the last times
    time: str | None = None
    notes, skipping = 0, is_vtt  # the head of a WebVTT file, and its blocks of styles and notes
    for number, line in enumerate(lines):
        times = _TIMES.match(line)
        if times is not None:
            _end(spoken, time, texts)
            time, texts, skipping = _compact(times[1]), [], False
        elif is_vtt and line.startswith(("STYLE", "REGION", "NOTE")) and not lines[number - 1].strip():
            notes, skipping = notes + len(line), True
        elif number + 1 < len(lines) and _TIMES.match(lines[number + 1]) and _is_name(line, lines[number - 1]):
            continue
        elif not line.strip():
            skipping = skipping and number == 0
        elif skipping:
            notes += len(line) if number else 0
        else:
            texts.append(line)
    _end(spoken, time, texts)
    return "\n".join(spoken) if time is not None else "", notes


def _is_name(line: str, before: str) -> bool:
    """Whether a line just above the times is their counter or name, and not the end of the text before."""
    return line.strip().isdecimal() or not before.strip()


def _end(spoken: list[str], time: str | None, texts: list[str]) -> None:
    shown = [text for line in texts if (text := _plain(line))]
    if shown:
        spoken.append((f"[{time}] " if time else "") + "\n".join(shown))


def _compact(time: str) -> str:
    """Hours, minutes and seconds without leading zeros of the first of them."""
    parts = time.split(":")
    hours, minutes, seconds = int(parts[0]) if len(parts) > 2 else 0, parts[-2], parts[-1]
    return f"{hours}:{minutes:0>2}:{seconds}" if hours else f"{int(minutes)}:{seconds}"


def _plain(line: str) -> str:
    line = _VOICE.sub(lambda match: f"{match[1]}: ", line)
    return unescape(_TAG.sub("", line)).strip()
