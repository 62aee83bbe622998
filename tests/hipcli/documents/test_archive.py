import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import pytest

from hipcli.documents.document import Document, Skipped
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.archives import archive
from hipcli.documents.readers.archives.member_names import MemberNames, safe_name
from hipcli.documents.reading import Begun, Ended, ReadingError, read_bytes

Packer = Callable[[bytes], bytes]


def zipped(*files: tuple[str | zipfile.ZipInfo, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as writer:
        for name, data in files:
            writer.writestr(name, data)
    return buffer.getvalue()


def tarred(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as writer:
        for entry, data in entries:
            entry.size = len(data)
            writer.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def file_entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def results(data: bytes, path: str, **options: object) -> dict[str, str]:
    """What becomes of each file: its text, or why it has none."""
    found: dict[str, str] = {}
    for item in read_bytes(data, path, path, ReadOptions(**options), found=False):  # type: ignore[arg-type]
        if isinstance(item, Document):
            found[item.path] = "\n".join([page.text for page in item.pages] + list(item.warnings))
        elif isinstance(item, Skipped):
            found[item.path] = f"{'quietly ' if item.quiet else ''}skipped: {item.reason}"
        elif isinstance(item, ReadingError):
            found[item.path] = f"error: {item.message}"
        else:
            assert isinstance(item, Begun | Ended)
    return found


class TestZip:
    def test_files_in_order_and_one_in_another(self) -> None:
        inner = zipped(("c.txt", "three"))
        assert results(zipped(("b.txt", "one"), ("d/", ""), ("d/a.txt", "two"), ("i.zip", inner)), "z.zip") == {
            "z.zip/b.txt": "one",
            "z.zip/d/a.txt": "two",
            "z.zip/i.zip/c.txt": "three",
        }

    def test_what_is_no_document_is_skipped(self) -> None:
        assert results(zipped(("a.bin", b"\0\1\2"), ("b.txt", "")), "z.zip") == {
            "z.zip/a.bin": "skipped: is binary, or text in an unknown encoding",
            "z.zip/b.txt": "skipped: empty",
        }

    def test_hidden_files_are_skipped_quietly(self) -> None:
        names = ("__MACOSX/._a.txt", ".DS_Store", "d/.git/config", "a.txt")
        assert results(zipped(*((name, "x") for name in names)), "z.zip") == {
            "z.zip/__MACOSX/._a.txt": "quietly skipped: is hidden",
            "z.zip/.DS_Store": "quietly skipped: is hidden",
            "z.zip/d/.git/config": "quietly skipped: is hidden",
            "z.zip/a.txt": "x",
        }

    def test_include_and_exclude(self) -> None:
        data = zipped(("a.md", "1"), ("d/b.md", "2"), ("c.txt", "3"))
        left_out = "quietly skipped: is left out by --include or --exclude"
        assert results(data, "z.zip", include=("*.md",), exclude=("d/",)) == {
            "z.zip/a.md": "1",
            "z.zip/d/b.md": left_out,
            "z.zip/c.txt": left_out,
        }

    def test_names_that_lead_elsewhere_are_made_safe(self) -> None:
        data = zipped(("../../etc/passwd", "1"), ("/abs.txt", "2"), ("C:\\d\\w.txt", "3"), ("a\x1b[31m.txt", "4"))
        assert results(data, "z.zip") == {
            "z.zip/etc/passwd": "1",
            "z.zip/abs.txt": "2",
            "z.zip/d/w.txt": "3",
            "z.zip/a?[31m.txt": "4",
        }

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_same_names(self) -> None:
        assert results(zipped(("a.txt", "1"), ("a.txt", "2"), ("b", "3"), ("b", "4")), "z.zip") == {
            "z.zip/a.txt": "1",
            "z.zip/a (2).txt": "2",
            "z.zip/b": "3",
            "z.zip/b (2)": "4",
        }

    def test_names_in_utf8_that_do_not_say_so(self) -> None:
        data = zipped(("Größe.txt", "x"))
        unsaid = bytearray(data)
        for place in (7, data.index(b"PK\x01\x02") + 9):
            unsaid[place] &= ~0x08
        assert results(bytes(unsaid), "z.zip") == {"z.zip/Größe.txt": "x"}

    def test_links_are_named_and_not_followed(self) -> None:
        link = zipfile.ZipInfo("l.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        assert results(zipped((link, "/etc/passwd")), "z.zip") == {"z.zip/l.txt": "skipped: is a symbolic link"}

    def test_damaged_member_costs_only_itself(self) -> None:
        data = bytearray(zipped(("a.txt", "aaaa"), ("b.txt", "bbbb"), method=zipfile.ZIP_STORED))
        data[data.index(b"aaaa")] = ord("x")
        assert results(bytes(data), "z.zip") == {
            "z.zip/a.txt": "error: z.zip/a.txt: is damaged (Bad CRC-32 for file 'a.txt')",
            "z.zip/b.txt": "bbbb",
        }

    @pytest.mark.parametrize(("method", "name"), [(9, "Deflate64"), (93, "Zstandard"), (6, "method 6")])
    def test_unknown_methods(self, method: int, name: str) -> None:
        data = bytearray(zipped(("a.txt", "aaaa"), method=zipfile.ZIP_STORED))
        for place in (data.index(b"PK\x03\x04") + 8, data.index(b"PK\x01\x02") + 10):
            data[place] = method
        assert results(bytes(data), "z.zip") == {
            "z.zip/a.txt": f"error: z.zip/a.txt: is packed with {name}, which is not read"
        }

    def test_file_without_a_name(self) -> None:
        data = zipped(("a", "x")).replace(b"a", b"\0")
        assert results(data, "z.zip") == {"z.zip/unnamed": "x"}

    def test_cut_off(self) -> None:
        data = zipped(("a.txt", "x" * 100))[:60]
        (reason,) = results(data, "z.zip").values()
        assert reason.startswith("error: z.zip: is a damaged zip file (")

    def test_without_files(self) -> None:
        assert results(zipped(("d/", "")), "z.zip") == {"z.zip": "error: z.zip: is an archive without files"}


class TestPassword:
    @staticmethod
    def encrypted(password: bytes, text: bytes) -> bytes:
        """A zip file with `text` in a.txt, by the old encryption of zip."""
        table = [_crc_table_entry(byte) for byte in range(256)]
        keys = [0x12345678, 0x23456789, 0x34567890]

        def update(byte: int) -> None:
            keys[0] = (keys[0] >> 8) ^ table[(keys[0] ^ byte) & 0xFF]
            keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
            keys[2] = (keys[2] >> 8) ^ table[(keys[2] ^ (keys[1] >> 24)) & 0xFF]

        for byte in password:
            update(byte)
        out = bytearray()
        for byte in bytes(11) + bytes([zlib.crc32(text) >> 24]) + text:
            mask = keys[2] | 2
            out.append(byte ^ ((mask * (mask ^ 1)) >> 8) & 0xFF)
            update(byte)
        plain = zipped(("a.txt", text), method=zipfile.ZIP_STORED)
        central = plain.index(b"PK\x01\x02")
        data = bytearray(plain[: 30 + 5] + out + plain[central:])
        moved = len(data) - len(plain)
        central += moved
        for place in (6, central + 8):
            data[place] |= 1
        for place in (18, central + 20):
            data[place : place + 4] = len(out).to_bytes(4, "little")
        end = data.index(b"PK\x05\x06")
        data[end + 16 : end + 20] = central.to_bytes(4, "little")
        return bytes(data)

    def test_right(self) -> None:
        assert results(self.encrypted(b"pw", b"secret"), "z.zip", password="pw") == {"z.zip/a.txt": "secret"}

    def test_missing(self) -> None:
        found = results(self.encrypted(b"pw", b"secret"), "z.zip")
        assert found == {"z.zip/a.txt": "error: z.zip/a.txt: is encrypted"}

    def test_wrong(self) -> None:
        found = results(self.encrypted(b"pw", b"secret"), "z.zip", password="no")
        assert found["z.zip/a.txt"].startswith("error: z.zip/a.txt: is ")
        assert "password is wrong" in found["z.zip/a.txt"]


def _crc_table_entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0xEDB88320 if byte & 1 else 0)
    return byte


class TestTar:
    def test_every_kind_of_entry(self) -> None:
        data = tarred(
            (file_entry("d", tarfile.DIRTYPE), b""),
            (file_entry("d/a.txt"), b"one"),
            (file_entry("../b.txt"), b"two"),
            (file_entry("l", tarfile.SYMTYPE, "/etc/passwd"), b""),
            (file_entry("h", tarfile.LNKTYPE, "d/a.txt"), b""),
            (file_entry("p", tarfile.FIFOTYPE), b""),
            (file_entry(".hidden"), b"x"),
        )
        assert results(data, "t.tar") == {
            "t.tar/d/a.txt": "one",
            "t.tar/b.txt": "two",
            "t.tar/l": "skipped: is a link to '/etc/passwd'",
            "t.tar/h": "skipped: is a link to 'd/a.txt'",
            "t.tar/p": "skipped: is a device or a pipe",
            "t.tar/.hidden": "quietly skipped: is hidden",
        }

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
    def test_packed(self, pack: Packer) -> None:
        assert results(pack(tarred((file_entry("a.txt"), b"one"))), "t.tgz") == {"t.tgz/a.txt": "one"}

    def test_cut_off_reads_what_comes_before(self) -> None:
        data = tarred((file_entry("a.txt"), b"one"), (file_entry("b.txt"), b"x" * 5000))
        found = results(data[:3000], "t.tar")
        assert found["t.tar/a.txt"] == "one"
        assert any(reason.startswith("error: ") for reason in found.values())

    def test_damaged(self) -> None:
        found = results(b"\0" * 257 + b"ustar" + b"x" * 1000, "t.tar")
        assert found["t.tar"].startswith("error: t.tar: is damaged or cut off (")


class TestPacked:
    @pytest.mark.parametrize(
        ("path", "pack"), [("a.txt.gz", gzip.compress), ("a.txt.bz2", bz2.compress), ("a.txt.xz", lzma.compress)]
    )
    def test_name_loses_its_suffix(self, path: str, pack: Packer) -> None:
        assert results(pack(b"hello"), path) == {f"{path}/a.txt": "hello"}

    def test_format_is_that_of_the_name_inside(self) -> None:
        (found,) = [
            item
            for item in read_bytes(gzip.compress(b"a,b"), "x.csv.gz", "x.csv.gz", ReadOptions(), found=False)
            if isinstance(item, Document)
        ]
        assert found.kind == "csv"

    def test_several_pieces(self) -> None:
        assert results(gzip.compress(b"one ") + gzip.compress(b"two"), "a.gz") == {"a.gz/a": "one two"}

    def test_cut_off_is_read_and_said(self) -> None:
        text = "".join(f"{number} " for number in range(5000))
        found = results(gzip.compress(text.encode())[:-100], "a.txt.gz")["a.txt.gz/a.txt"]
        read, _, warning = found.rpartition("\n")
        assert len(read) > 20_000 and text.startswith(read)
        assert warning == f"its gzip file is cut off: only the first {len(read):,} bytes are read."

    def test_damaged(self) -> None:
        found = results(b"\x1f\x8b\x08\x00" + b"\0" * 6 + b"\xff" * 50, "a.gz")
        assert found["a.gz"].startswith("error: a.gz: is a damaged gzip file (")

    @pytest.mark.parametrize("magic", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"\x1f\x9d"])
    def test_formats_that_are_not_read_are_named(self, magic: bytes) -> None:
        assert "which is not read" in results(magic + b"\0" * 50, "a.x")["a.x"]


class TestBombs:
    def test_one_big_file(self) -> None:
        found = results(zipped(("a.txt", b"a" * (2 * 2**20)), ("b.txt", "b")), "z.zip", memory=4)
        assert found == {"z.zip/a.txt": "error: z.zip/a.txt: unpacks to more than 1 MiB", "z.zip/b.txt": "b"}

    def test_file_that_says_it_is_small(self) -> None:
        data = bytearray(zipped(("a.txt", b"a" * (2 * 2**20))))
        place = data.index(b"PK\x01\x02") + 24
        data[place : place + 4] = (10).to_bytes(4, "little")
        assert results(bytes(data), "z.zip", memory=4)["z.zip/a.txt"].startswith("error: ")

    def test_many_files_together(self) -> None:
        data = zipped(*((f"{number}.txt", b"a" * 2**20) for number in range(5)))
        found = results(data, "z.zip", memory=4)
        assert list(found) == ["z.zip/0.txt", "z.zip/1.txt", "z.zip/2.txt", "z.zip"]
        assert found["z.zip"] == "error: z.zip: unpacks to more than 2 MiB: not read from 3.txt on"

    def test_packed(self) -> None:
        found = results(gzip.compress(b"a" * (2 * 2**20)), "a.gz", memory=4)
        assert found == {"a.gz": "error: a.gz: unpacks to more than 1 MiB"}

    def test_nested_without_end(self) -> None:
        data = zipped(("a.txt", "x"))
        for _ in range(6):
            data = zipped(("z.zip", data))
        (reason,) = results(data, "z.zip").values()
        assert reason == "skipped: is in 4 files around each other"

    def test_too_many_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archive, "_MOST_MEMBERS", 3)
        data = zipped(*((f"{number}", "x") for number in range(4)))
        assert results(data, "z.zip") == {"z.zip": "error: z.zip: has more than 3 files inside"}
        data = tarred(*((file_entry(f"{number}"), b"x") for number in range(4)))
        assert results(data, "t.tar") == {"t.tar": "error: t.tar: has more than 3 files inside"}


def test_names_are_safe_and_their_own() -> None:
    names = MemberNames()
    assert [names.unique(name) for name in ("a.txt", "a.txt", "a (2).txt", "", "..", "x/../y")] == [
        "a.txt",
        "a (2).txt",
        "a (2) (2).txt",
        "unnamed",
        "unnamed (2)",
        "x/y",
    ]
    assert safe_name("a\u202eb") == "a?b"
