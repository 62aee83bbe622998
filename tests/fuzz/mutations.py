"""Damages a file: its bytes, or what is packed in it, so that the damage gets past checksums and compression."""

import gzip
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random

Change = Callable[[bytes], bytes]

_MOST_BYTES = 2**20  # of a mutated file, so that much input is not what takes the time
_NUMBERS = [b"0", b"-1", b"1e999", b"2147483648", b"4294967295", b"18446744073709551616", b"9" * 400, b"0.0000001"]
_MARKUP = [b"<", b"</", b"/>", b"&#0;", b"&#xD800;", b"&a;", b"]]>", b"<!DOCTYPE a [<!ENTITY a '&a;&a;'>]>", b"<p>"]
_MARKUP += [b"<table>", b"<tr>", b"<td colspan=99999999>", b"<li>", b"xmlns:a=''", b" r:id='s1'", b"<!--", b"\0"]
_MAIL = [b"\r\n\r\n", b"--", b"Content-Type: multipart/mixed; boundary=a\r\n", b"=?x-y?B?AAA?=", b"charset=utf-7"]
_MAIL += [b"Content-Transfer-Encoding: base64\r\n", b"\nFrom a", b"filename*=utf-7''%ff", b"message/rfc822", b";"]
_PDF = [b"<<", b">>", b"[", b"]", b"(", b")", b"1 0 R", b"3 0 R", b"6 0 R", b"/Kids", b"/Length -1", b"/Parent 2 0 R"]
_PDF += [b"stream\n", b"endobj\n", b"/Filter[/FlateDecode/FlateDecode]", b"BT", b"ET", b"q", b"Do ", b"EMC", b"null"]
_RTF = [b"{", b"}", b"\\", b"\\bin99999 ", b"\\u-1?", b"\\uc9999", b"\\'", b"{\\*\\x", b"\\row", b"\\ansicpg0"]
_JSON = [b"[", b"{", b'"cells":', b"null", b"NaN", b'"\\ud800"', b"1e999", b"[]", b"true", b","]
_TEXT = [b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1b$B", b"\r", b"\xe2\x80\xae", b'"', b";", b"\t", b"--> "]
_BRACKETS = [(b"[", b"]"), (b"{", b"}"), (b"<<", b">>"), (b"(", b")"), (b"BT", b"ET"), (b"<p>", b"</p>")]
_TOKENS = {
    "pdf": _PDF,
    "rtf": _RTF,
    "eml": _MAIL,
    "mbox": _MAIL,
    "ipynb": _JSON,
    **dict.fromkeys(("docx", "pptx", "xlsx", "odt", "ods", "epub", "html"), _MARKUP),
}


def mutated(kind: str, files: Sequence[bytes], random: Random) -> bytes:
    """One of `files`, which are of the format `kind`, with some damage."""
    seed = random.choice(files)

    def change(part: bytes) -> bytes:
        return _damaged(part, random.choice(files), _TOKENS.get(kind, _TEXT), random)

    inside = _INSIDE.get(kind)
    if inside is not None and random.random() < 0.7:
        try:
            return inside(seed, change, random)
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError, RuntimeError):
            pass  # a seed that is damaged itself
    return change(seed)


def _damaged(data: bytes, other: bytes, tokens: Sequence[bytes], random: Random) -> bytes:
    # Half of the time nothing that breaks the grammar: other numbers, other values, more brackets.
    kinds = range(12) if random.random() < 0.5 else (7, 10, 11)
    for _ in range(random.choice((1, 1, 2, 3, 8, 30))):
        start = random.randrange(len(data) + 1)
        stop = min(len(data), start + random.choice((1, 2, 4, 8, 64, 1024)))
        match random.choice(kinds):
            case 0:
                flipped = bytes(byte ^ 1 << random.randrange(8) for byte in data[start : start + 1])
                data = data[:start] + flipped + data[start + 1 :]
            case 1:
                data = data[:start] + random.randbytes(stop - start) + data[stop:]
            case 2:
                data = data[:start] + data[stop:]
            case 3:
                times = random.choice((2, 3, 100, 20_000 // (1 + stop - start)))
                data = data[:start] + data[start:stop] * times + data[stop:]
            case 4 if random.random() < 0.2:
                data = data[:start]
            case 5 if random.random() < 0.2:
                data = data[:start] + other[random.randrange(len(other) + 1) :]
            case 6:
                width = random.choice((1, 2, 4, 8))
                extreme = random.choice((0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (8 * width - 1) - 1))
                data = data[:start] + extreme.to_bytes(width, random.choice(("little", "big"))) + data[start + width :]
            case 7:
                if number := re.compile(rb"[0-9]+").search(data, start):
                    data = data[: number.start()] + random.choice(_NUMBERS) + data[number.end() :]
            case 8:
                data = data[:start] + random.choice(tokens) + data[random.choice((start, stop)) :]
            case 9:
                data = data[:start] + random.choice(tokens) * random.choice((2, 50, 3000)) + data[start:]
            case 10:
                data = _nested(data, start, stop, tokens, random)
            case 11:
                if value := re.compile(rb"""(["'(>])[^"'()<>]{1,99}""").search(data, start):
                    found = re.compile(rb"""["'(>][^"'()<>]{1,99}""").search(other, random.randrange(len(other) + 1))
                    text = found[0][1:] if found else b""
                    data = data[: value.end(1)] + text + data[value.end() :]
    return data[:_MOST_BYTES]


def _nested(data: bytes, start: int, stop: int, tokens: Sequence[bytes], random: Random) -> bytes:
    """With many brackets around a part: the next element of markup, or what is between `start` and `stop`."""
    opening, closing = random.choice([pair for pair in _BRACKETS if pair[0] in tokens] or _BRACKETS)
    if tokens is _MARKUP and (tag := re.compile(rb"<([\w:]+)>").search(data, start)):
        opening, closing, start = tag[0], b"</" + tag[1] + b">", tag.start()
        end = data.find(closing, start)
        stop = tag.end() if end < 0 else end + len(closing)
    times = random.choice((2, 100, 5000))
    return data[:start] + opening * times + data[start:stop] + closing * times + data[stop:]


def _in_zip(seed: bytes, change: Change, random: Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(seed)) as archive:
        parts = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(parts))
        name, content = parts[at]
        match random.randrange(8):
            case 0:
                renamed = change(name.encode()).decode("latin-1").partition("\0")[0][:2000]
                parts.insert(at, (renamed or "x", content))
            case 1 if len(parts) > 1:
                del parts[at]
            case 2:
                parts[at] = (name, random.choice(parts)[1])
            case _:
                parts[at] = (name, change(content))
    packed = io.BytesIO()
    method = random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
    with zipfile.ZipFile(packed, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of one name
        for name, content in parts:
            archive.writestr(name, content)
    return packed.getvalue()


def _in_pdf(seed: bytes, change: Change, random: Random) -> bytes:
    """Streams are damaged before compression. The table of objects is wrong then, and readers make it anew."""

    def repack(found: re.Match[bytes]) -> bytes:
        if random.random() < 0.6:
            return found[0]
        try:
            return b"stream\n" + zlib.compress(change(zlib.decompress(found[1]))) + b"\nendstream"
        except zlib.error:
            return b"stream\n" + change(found[1]) + b"\nendstream"

    repacked = re.sub(rb"stream\r?\n(.*?)\r?\nendstream", repack, seed, flags=re.DOTALL)
    return change(repacked) if random.random() < 0.3 else repacked


def _in_gzip(seed: bytes, change: Change, random: Random) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(seed)) as file:
        return gzip.compress(change(file.read(_MOST_BYTES)), 1)


def _in_tar(seed: bytes, change: Change, random: Random) -> bytes:
    """Damages one block and mends the checksums of heads."""
    blocks = [seed[start : start + 512] for start in range(0, len(seed), 512)]
    at = random.choice([index for index, block in enumerate(blocks) if block[257:262] == b"ustar"] or [0])
    blocks[at] = change(blocks[at]).ljust(512, b"\0")[:512]
    for index, block in enumerate(blocks):
        if block[257:262] == b"ustar":
            total = sum(block) - sum(block[148:156]) + 8 * 32
            blocks[index] = block[:148] + b"%06o\0 " % total + block[156:]
    return b"".join(blocks)


def _in_gguf(seed: bytes, change: Change, random: Random) -> bytes:
    """Damages the header: what follows a key, or any of it. The weights stay where they are, if that is possible."""
    header = seed[: seed.rindex(b".weight") + 64]
    keys = [found.end() for found in re.finditer(rb"[a-z]\w+\.[\w.]{3,}", header)]
    start, stop = random.choice([(key, key + 24) for key in keys] + [(0, len(header))] * len(keys))
    damaged = header[:start] + change(header[start:stop]) + header[stop:]
    return damaged + seed[random.choice((len(damaged), len(header))) :]


_INSIDE: dict[str, Callable[[bytes, Change, Random], bytes]] = {
    "pdf": _in_pdf,
    "gz": _in_gzip,
    "tar": _in_tar,
    "gguf": _in_gguf,
    **dict.fromkeys(("docx", "pptx", "xlsx", "odt", "ods", "epub", "zip"), _in_zip),
}
