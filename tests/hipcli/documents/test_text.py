import pytest

from hipcli.documents.readers.text import NotTextError, check_encoding, decode, looks_binary
from hipcli.errors import ExitCode, HipError

FRENCH = "Les élèves étaient très fâchés ; le garçon, naïf, a reçu une lettre de sa sœur à Noël. "
SWEDISH = "Jag förstår inte varför björnen åker på sjön. Än är det vår. "
GERMAN = "Größe und Stärke der Wörter für Überprüfung. Die Straße ist schön. "
POLISH = "Zażółć gęślą jaźń. To jest zdanie po polsku, które ma sens. "
RUSSIAN = "Он пошёл домой и лёг спать. Был поздний вечер, и шёл снег. "


def test_newlines_become_line_feeds() -> None:
    assert decode(b"a\r\nb\rc\n", "x", None) == ("a\nb\nc\n", ())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_mark_decides_and_goes(encoding: str) -> None:
    assert decode("né €".encode(encoding), "x", None) == ("né €", ())


def test_big_endian_byte_order_mark() -> None:
    assert decode(b"\xfe\xff" + "né".encode("utf-16-be"), "x", None) == ("né", ())


def test_named_encoding_wins_over_utf8() -> None:
    assert decode("é".encode(), "x", "latin-1") == ("Ã©", ())


def test_named_encoding_drops_the_byte_order_mark() -> None:
    assert decode(b"\xef\xbb\xbfa", "x", "utf-8") == ("a", ())


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        (SWEDISH, "cp1252"),
        (GERMAN, "latin-1"),
        (POLISH, "cp1250"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
    ],
)
def test_guess_is_right_and_said_to_be_a_guess(text: str, encoding: str) -> None:
    decoded, warnings = decode((text * 3).encode(encoding), "x", None)
    assert decoded == text * 3
    assert len(warnings) == 1
    assert "guess" in warnings[0] and "--encoding" in warnings[0]


def test_named_encoding_that_does_not_fit() -> None:
    with pytest.raises(HipError) as caught:
        decode("aé".encode(), "notes.txt", "ascii")
    assert caught.value.message == "notes.txt: not valid ascii at byte 1"
    assert not isinstance(caught.value, NotTextError)


def test_broken_utf16_is_an_error_not_a_traceback() -> None:
    with pytest.raises(HipError, match="not valid utf-16"):
        decode(b"\xff\xfea", "x", None)


@pytest.mark.parametrize("data", [b"a\0b", bytes(range(1, 256)) * 20])
def test_binary(data: bytes) -> None:
    with pytest.raises(NotTextError, match="x: is binary") as caught:
        decode(data, "x", None)
    assert caught.value.hint is not None and "--encoding" in caught.value.hint


def test_utf16_is_not_binary() -> None:
    assert not looks_binary("abc".encode("utf-16"))
    assert looks_binary("abc".encode("utf-16-le"))


@pytest.mark.parametrize("name", ["klingon", "hex", "rot13", "a\0b", ""])
def test_unknown_encoding_is_a_usage_error(name: str) -> None:
    with pytest.raises(HipError, match="unknown encoding") as caught:
        check_encoding(name)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("name", ["utf-8", "UTF_16", "cp1252", "shift_jis", "utf-32-be"])
def test_known_encoding(name: str) -> None:
    check_encoding(name)
