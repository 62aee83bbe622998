"""Bytes to text: which encoding is taken, what is said of it, and what is no text."""

import time
import zlib

import pytest

from hipcli.documents.document import Encoding
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.text.text import NotTextError, check_encoding, decode, decode_text, read
from hipcli.errors import ExitCode, HipError

# Text of many languages, with the encodings that it was kept in before Unicode.
SAMPLES = {
    "Die Wörter für Größe und Stärke stehen auf Straße und Überführung. Vögel hören wir jeden Tag.": (
        "cp1252 latin-1 cp850 cp437 mac_roman"
    ),
    "Les élèves étaient très fâchés ; le garçon, naïf, a reçu une lettre de sa mère à Noël. Où êtes-vous ?": (
        "cp1252 latin-1 cp850 cp437 mac_roman"
    ),
    "El niño comió muchas manzanas en el jardín. ¿Dónde está la canción que cantará mi compañía?": "cp1252 cp850",
    "A reunião começará às três horas; não há informações sobre a situação dos órgãos públicos.": "cp1252 cp850",
    "La città è più bella di quanto si possa immaginare. Perché non verrà nessuno? Così è la verità.": "cp1252 cp850",
    "Jag förstår inte varför björnen åker på sjön. Än är det vår, och alla går hem över bron.": "cp1252 cp850",
    "Det er en smuk dag på øen, og børnene spiser æbler på marken. Vi må gå hjem før aften.": "cp1252 cp850",
    "The agreement says “five years”. It’s Miller who pays for repairs — always. He won’t sell.": "cp1252",
    "Zażółć gęślą jaźń. To jest zdanie po polsku, które ma sens i dużo ładnych słów.": "cp1250 iso8859-2 cp852",
    "Příliš žluťoučký kůň úpěl ďábelské ódy. Včera večer jsme šli do města.": "cp1250 iso8859-2 cp852",
    "Az árvíztűrő tükörfúrógép jól működik. A gyerekek reggel együtt mentek.": "cp1250 iso8859-2 cp852",
    "Bugün hava çok güzel, çocuklar dışarıda oynuyor. Öğretmen yeni bir şarkı öğretti.": "cp1254",
    "Šiandien gražus oras, todėl vaikai žaidžia lauke. Ąžuolas auga prie namų.": "cp1257",
    "Он пошёл домой и лёг спать. Был поздний вечер, и шёл снег. На улице никого не было.": (
        "cp1251 koi8-r cp866 iso8859-5 mac_cyrillic"
    ),
    "ДОГОВОР АРЕНДЫ. Стороны заключили настоящий договор о нижеследующем: АРЕНДАТОР обязуется.": "cp1251 koi8-r cp866",
    "Він пішов додому і ліг спати. Був пізній вечір, і йшов сніг. Її мати їхала в місто.": "cp1251 koi8-u",
    "Ο ήλιος λάμπει στον ουρανό και τα παιδιά παίζουν στην αυλή.": "cp1253 iso8859-7",
    "השמש זורחת בשמים והילדים משחקים בחצר. האם מבשלת במטבח ארוחת ערב.": "cp1255",
    "تشرق الشمس في السماء ويلعب الأطفال في الفناء. الأم تطبخ العشاء في المطبخ.": "cp1256",
    "契約期間は五年です。二〇二一年五月一日から有効です。子供たちは庭で遊んでいます。": "shift_jis euc_jp",
    "合同期限为五年，自二零二一年五月一日起生效。孩子们在院子里玩，我们的国家很大。": "gb18030",
    "合約期限為五年，自二零二一年五月一日起生效。孩子們在院子裡玩，我們的國家很大。": "big5",
    "계약 기간은 오 년이며 오월 일일부터 유효합니다. 아이들은 마당에서 놀고 있습니다.": "euc_kr",
}
GERMAN = next(iter(SAMPLES))
ENGLISH = "The contract between Acme and Bolt runs for five years and ends in May. "
JAPANESE = "契約期間は五年です。二〇二一年五月一日から有効です。"


def kept_in() -> list[tuple[str, str]]:
    return [(text, encoding) for text, encodings in SAMPLES.items() for encoding in encodings.split()]


def found(data: bytes) -> Encoding:
    encoding = decode_text(data, "x", None).encoding
    assert isinstance(encoding, Encoding)
    return encoding


def test_newlines_become_line_feeds() -> None:
    assert decode(b"a\r\nb\rc\n", "x", None) == ("a\nb\nc\n", ())


class TestWhatIsSure:
    def test_utf8(self) -> None:
        assert found("né 文".encode()) == Encoding("utf-8", "valid")

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
    def test_byte_order_mark_decides_and_goes(self, encoding: str) -> None:
        assert decode("né €".encode(encoding), "x", None) == ("né €", ())
        assert found("né €".encode(encoding)) == Encoding(encoding.removesuffix("-sig"), "byte order mark")

    def test_big_endian_byte_order_mark(self) -> None:
        assert decode(b"\xfe\xff" + "né".encode("utf-16-be"), "x", None) == ("né", ())

    @pytest.mark.parametrize("encoding", ["iso2022_jp", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_kr", "hz"])
    def test_escape_sequences(self, encoding: str) -> None:
        text = {"iso2022_kr": "계약 기간은 오 년", "hz": "合同期限为五年\n"}.get(encoding, JAPANESE)
        decoded, warnings = decode((text * 2).encode(encoding), "x", None)
        assert decoded == text * 2
        assert found(text.encode(encoding)).how == "escape sequences"
        assert warnings == () or encoding == "hz"

    def test_escape_sequences_cut_anywhere(self) -> None:
        data = JAPANESE.encode("iso2022_jp")
        for end in range(5, len(data)):
            text = decode(data[:end], "x", None)[0]
            assert JAPANESE.startswith(text.rstrip("\ufffd\x1b(")), end

    def test_other_escapes_are_no_encoding(self) -> None:
        assert found(b"\x1b[31mred\x1b[0m costs $B or ~{x} and ~{}~") == Encoding("utf-8", "valid")


class TestAskedFor:
    def test_wins_over_utf8(self) -> None:
        assert decode("é".encode(), "x", "latin-1") == ("Ã©", ())

    def test_drops_the_byte_order_mark(self) -> None:
        assert decode(b"\xef\xbb\xbfa", "x", "utf-8") == ("a", ())

    def test_that_does_not_fit(self) -> None:
        with pytest.raises(HipError) as caught:
            decode("aé".encode(), "notes.txt", "ascii")
        assert caught.value.message == "notes.txt: not valid ascii at byte 1"
        assert not isinstance(caught.value, NotTextError)

    def test_content(self) -> None:
        content = read(b"caf\xe9", "x", ReadOptions(encoding="latin-1"))
        assert (content.pages[0].text, content.encoding) == ("café", Encoding("latin-1", "asked for"))

    @pytest.mark.parametrize("name", ["klingon", "hex", "rot13", "a\0b", ""])
    def test_unknown_is_a_usage_error(self, name: str) -> None:
        with pytest.raises(HipError, match="unknown encoding") as caught:
            check_encoding(name)
        assert caught.value.exit_code == ExitCode.USAGE

    @pytest.mark.parametrize("name", ["utf-8", "UTF_16", "cp1252", "shift_jis", "utf-32-be"])
    def test_known(self, name: str) -> None:
        check_encoding(name)


class TestWrongBytesInUtf8:
    def test_are_replaced_and_said(self) -> None:
        begin = (GERMAN * 10).encode()
        text, warnings = decode(begin + b"\xff" + begin, "x", None)
        assert text == GERMAN * 10 + "\ufffd" + GERMAN * 10
        assert warnings == (f"1 place that is not valid utf-8 at byte {len(begin):,}: read as U+FFFD.",)
        assert found(begin + b"\xff") == Encoding("utf-8", "bad bytes replaced")

    def test_first_of_many_are_named(self) -> None:
        data = b"".join("für ".encode() + b"\xfc " for _ in range(1200))
        assert decode(data, "x", None)[1] == (
            "1,200 places that are not valid utf-8 at bytes 5, 12, 19 and so on: read as U+FFFD.",
        )
        two = "größer und größer für die Straße ".encode() + b"\xfc \xe4"
        assert decode(two, "x", None)[1] == ("2 places that are not valid utf-8 at bytes 39 and 41: read as U+FFFD.",)

    def test_genuine_replacement_character_is_not_counted(self) -> None:
        data = f"Größe \ufffd und Stärke für {GERMAN}".encode() + b"\xc3"
        assert decode(data, "x", None)[1][0].startswith("1 place that is not valid utf-8")

    @pytest.mark.parametrize("text", SAMPLES)
    def test_cut_anywhere(self, text: str) -> None:
        data = text.encode()
        for end in range(12, len(data) + 1):
            assert found(data[:end]).name == "utf-8", end
            assert text.startswith(decode(data[:end], "x", None)[0].rstrip("\ufffd")), end

    @pytest.mark.parametrize("text", SAMPLES)
    def test_one_byte_wrong_anywhere(self, text: str) -> None:
        data = text.encode()
        for at in range(0, len(data), 3):
            for wrong in (b"\xff", b"", b"\xe9"):
                assert found(data[:at] + wrong + data[at + 1 :]).name == "utf-8", at

    @pytest.mark.parametrize("end", [b"\xe2\x80", b" \xe2", b"s\xc3", b" \xf0\x9f\x98"])
    def test_cut_in_the_only_character_outside_ascii(self, end: bytes) -> None:
        assert found(ENGLISH.encode() + end) == Encoding("utf-8", "bad bytes replaced")

    @pytest.mark.parametrize("text", ["un petit café", "manhã", "Gruß", "caf\xe9 noir", "naïve", "£ 20", "21 °C"])
    def test_one_letter_of_latin1_is_none(self, text: str) -> None:
        assert decode(text.encode("latin-1"), "x", None)[0] == text

    def test_wrong_byte_in_ascii_is_not_the_end_of_it(self) -> None:
        text = decode((ENGLISH * 20).encode() + b"\x81\xfe\x8d " + ENGLISH.encode(), "x", None)[0]
        assert text.startswith(ENGLISH * 20) and text.endswith(ENGLISH)


class TestZeroBytes:
    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
    @pytest.mark.parametrize("text", SAMPLES)
    def test_two_and_four_bytes_a_character(self, text: str, encoding: str) -> None:
        lines = text.replace(". ", ".\r\n").replace("。", "。\r\n") + "\r\n"
        data = lines.encode(encoding)
        decoded, warnings = decode(data, "x", None)
        assert decoded == lines.replace("\r", "")
        assert [warning.partition(":")[0] for warning in warnings] == [
            f"read as {encoding}, because of its pattern of zero bytes"
        ]
        for end in range(max(60, len(data) // 2), len(data)):
            assert found(data[:end]) == Encoding(encoding, "pattern of zero bytes"), end

    def test_short(self) -> None:
        assert decode("hi\n".encode("utf-16-le"), "x", None)[0] == "hi\n"

    def test_stray_ones_are_dropped_and_said(self) -> None:
        data = (ENGLISH * 10).encode()
        text, warnings = decode(data[:300] + b"\0" + data[300:], "x", None)
        assert text == ENGLISH * 10
        assert warnings == ("1 zero byte at byte 300: dropped.",)
        text, warnings = decode(data + b"\0" * 512, "x", None)
        assert (text, warnings) == (ENGLISH * 10, ("512 zero bytes at bytes 720, 721, 722 and so on: dropped.",))

    @pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
    def test_stray_one_in_other_encodings(self, encoding: str) -> None:
        data = (GERMAN * 5).encode(encoding)
        text, warnings = decode(data[:101] + b"\0" + data[101:], "x", None)
        assert text == GERMAN * 5
        assert warnings[-1] == "1 zero byte at byte 101: dropped."

    def test_cut_after_a_byte_order_mark(self) -> None:
        text, warnings = decode(ENGLISH.encode("utf-16")[:-1], "x", None)
        assert text == ENGLISH[:-1] + "\ufffd"
        assert warnings == ("1 place that is not valid utf-16 at byte 144: read as U+FFFD.",)


class TestGuess:
    @pytest.mark.parametrize(("text", "encoding"), kept_in())
    def test_is_right_and_said_to_be_a_guess(self, text: str, encoding: str) -> None:
        decoded, warnings = decode(text.encode(encoding), "x", None)
        assert decoded == text
        assert len(warnings) == 1 and "which is a guess" in warnings[0] and "--encoding" in warnings[0]
        assert found(text.encode(encoding)).how == "guess"

    @pytest.mark.parametrize(("text", "encoding"), kept_in())
    def test_is_right_wherever_it_is_cut(self, text: str, encoding: str) -> None:
        data = text.encode(encoding)
        for end in range(24, len(data), 3):
            if not data[:end].isascii():
                assert decode(data[:end], "x", None)[0] == data[:end].decode(encoding, "replace"), end

    def test_utf8_among_it_is_said(self) -> None:
        latin = "Müller wohnt in Köln, Übergröße\n".encode("cp1252")
        text, warnings = decode(latin * 30 + "Größe\n".encode(), "x", None)
        assert text.endswith("GrÃ¶ÃŸe\n")
        assert warnings[1:] == ("2 places that are probably utf-8 at bytes 962 and 964: read as cp1252 like the rest.",)
        assert len(decode("«ALLÉ» À»\n".encode("cp1252") * 9 + latin * 9, "x", None)[1]) == 1

    def test_latin_letters_among_utf8_are_counted_with_their_places(self) -> None:
        text, warnings = decode("Größe und Straße\n".encode() * 20 + "Größe\n".encode("cp1252"), "x", None)
        assert text.endswith("Gr\ufffd\ufffde\n")
        assert warnings == ("2 places that are not valid utf-8 at bytes 402 and 403: read as U+FFFD.",)

    def test_is_named(self) -> None:
        data = "Größe: 5 m², Übersicht der Verträge für München\r\n".encode("cp850")
        assert decode(data, "x", None)[1] == (
            "read as cp850, which is a guess: name the encoding with --encoding if it is wrong.",
        )

    def test_subtitles(self) -> None:
        text = (
            "1\n00:00:01,000 --> 00:00:04,000\nZażółć gęślą jaźń, łódź\n\n2\n00:00:05,000 --> 00:00:07,000\nnie wiem\n"
        )
        assert decode(text.encode("cp1250"), "x", None)[0] == text

    def test_looks_everywhere_in_big_text(self) -> None:
        text = ENGLISH * 5000 + "Größe und Stärke für Überführung. " + ENGLISH * 5000
        assert decode(text.encode("cp850"), "x", None)[0] == text

    def test_what_does_not_fit_is_replaced_and_said(self) -> None:
        data = (JAPANESE * 20).encode("shift_jis")
        text, warnings = decode(data + b"\x81", "x", None)
        assert text == JAPANESE * 20 + "\ufffd"
        assert warnings[1] == f"1 place that is not valid cp932 at byte {len(data):,}: read as U+FFFD."


class TestNoText:
    @pytest.mark.parametrize(
        "data",
        [
            b"a\0b",
            b"\0",
            b"\0\1",
            b"\0\1\2",
            bytes(range(8)),
            b"\xff\xfea",
            bytes(range(1, 256)) * 20,
            zlib.compress(bytes(range(256)) * 20),
            b"\x7fELF\2\1\1" + b"\0" * 9 + bytes(range(200)) * 9,
            b"\xff" * 1000,
            b"".join(number.to_bytes(4, "little") for number in range(1000)),
            b"".join(number.to_bytes(2, "little", signed=True) for number in range(-500, 500)),
        ],
    )
    def test_binary(self, data: bytes) -> None:
        with pytest.raises(NotTextError, match="x: is binary") as caught:
            decode(data, "x", None)
        assert caught.value.hint is not None and "--encoding" in caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        (GERMAN.encode("cp1252") + b"\n") * 50_000,
        JAPANESE.encode("shift_jis") * 100_000,
        (GERMAN.encode() + b"\xff\n") * 50_000,
        (ENGLISH.encode() * 2 + b"\0") * 35_000,
        b"caf\xe9\n" * 1_000_000,
    ],
)
def test_five_megabytes_take_no_time(data: bytes) -> None:
    start = time.process_time()
    decode(data, "x", None)
    assert time.process_time() - start < 2
