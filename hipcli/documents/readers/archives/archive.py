"""Archives (zip, tar) and files packed by themselves (gzip, bzip2, xz): every file inside is read or named."""

import io
import posixpath
import stat
import tarfile
import zipfile
from functools import partial
from os import fsencode

from hipcli.documents.document import Content, Member
from hipcli.documents.gitignore import Patterns
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.archives.member_names import MemberNames
from hipcli.documents.readers.archives.packed import unpack
from hipcli.documents.readers.archives.zip_files import entry_name, files_in, open_zip, read_entry, too_big
from hipcli.errors import HipError

_MOST_MEMBERS = 100_000
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_NOT_READ = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard",
    b"\x1f\x9d": "packed with compress",
}
_PACKED_SUFFIXES = (".gz", ".bz2", ".xz")
_TAR_MAGIC = b"ustar"


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The files in an archive, as members. Raises HipError where it is damaged, or has more than can be read."""
    for magic, what in _NOT_READ.items():
        if data.startswith(magic):
            raise HipError(f"{where}: is {what}, which is not read", "unpack it and name the files to read")
    packed = unpack(data, where, options)
    if packed is not None and packed.data[257:262] != _TAR_MAGIC:
        member = Member(_unpacked_name(where), partial(_same, packed.data))
        return Content(kind=packed.kind, reader=packed.kind, pages=(), warnings=packed.warnings, members=(member,))
    if data.startswith(_ZIP_MAGIC):
        kind, members = "zip", _zip_members(data, where, options)
    else:
        kind, members = "tar", _tar_members(packed.data if packed else data, where, options)
    if not members:
        raise HipError(f"{where}: is an archive without files", "check that it is the file you mean")
    return Content(
        kind=kind,
        reader="zipfile" if kind == "zip" else "tarfile",
        pages=(),
        warnings=packed.warnings if packed else (),
        members=members,
    )


class _Selection:
    """Which files of an archive are read: those that would be, if it were unpacked and the folder named."""

    def __init__(self, options: ReadOptions) -> None:
        self._include = Patterns(map(fsencode, options.include))
        self._exclude = Patterns(map(fsencode, options.exclude))

    def skipped(self, name: str) -> str | None:
        """Why the file called `name` is not read, if it is not."""
        parts = name.split("/")
        if parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts):
            return "is hidden"
        path = name.encode("utf-8", "replace")
        if self._matches(self._exclude, path) or (len(self._include) and not self._matches(self._include, path)):
            return "is left out by --include or --exclude"
        return None

    @staticmethod
    def _matches(patterns: Patterns, path: bytes) -> bool:
        """Whether the last pattern to match the file, or else the nearest folder around it, means it."""
        if not len(patterns):
            return False
        verdict, directory = patterns.verdict(path, False), posixpath.dirname(path)
        while verdict is None and directory:
            verdict, directory = patterns.verdict(directory, True), posixpath.dirname(directory)
        return bool(verdict)


def _zip_members(data: bytes, where: str, options: ReadOptions) -> tuple[Member, ...]:
    archive = open_zip(data, where)
    entries = files_in(archive)
    if len(entries) > _MOST_MEMBERS:
        raise _too_many(where)
    names, selection = MemberNames(), _Selection(options)
    return tuple(_zip_member(archive, entry, names, selection, where, options) for entry in entries)


def _zip_member(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    names: MemberNames,
    selection: _Selection,
    where: str,
    options: ReadOptions,
) -> Member:
    name = names.unique(entry_name(entry))
    if stat.S_ISLNK(entry.external_attr >> 16):
        return Member(name, skipped="is a symbolic link")
    skipped = selection.skipped(name)
    return Member(
        name, partial(read_entry, archive, entry, f"{where}/{name}", options), skipped, quiet=skipped is not None
    )


def _tar_members(data: bytes, where: str, options: ReadOptions) -> tuple[Member, ...]:
    members: list[Member] = []
    names, selection = MemberNames(), _Selection(options)
    try:
        archive = tarfile.open(fileobj=io.BytesIO(data), mode="r:")  # noqa: SIM115
        for number, entry in enumerate(archive):
            if number == _MOST_MEMBERS:
                raise _too_many(where)
            if not entry.isdir():
                members.append(_tar_member(archive, entry, names, selection, where, options))
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        what = f"is damaged or cut off ({str(error)[:200]})"
        hint = "download or copy it again"
        if not members:
            raise HipError(f"{where}: {what}", hint) from error
        rest = HipError(f"{where}: {what}: nothing is read behind {members[-1].name}", hint)
        members.append(Member(names.unique("the rest"), partial(_fail, rest)))
    return tuple(members)


def _tar_member(
    archive: tarfile.TarFile,
    entry: tarfile.TarInfo,
    names: MemberNames,
    selection: _Selection,
    where: str,
    options: ReadOptions,
) -> Member:
    name = names.unique(entry.name)
    if entry.issym() or entry.islnk():
        return Member(name, skipped=f"is a link to {entry.linkname[:200]!r}")
    if not entry.isfile():
        return Member(name, skipped="is a device or a pipe")
    skipped = selection.skipped(name)
    return Member(
        name, partial(_read_tar_entry, archive, entry, f"{where}/{name}", options), skipped, quiet=skipped is not None
    )


def _read_tar_entry(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str, options: ReadOptions) -> bytes:
    if entry.size > options.most_bytes:
        raise too_big(path, options)
    try:
        stream = archive.extractfile(entry)
        return stream.read() if stream is not None else b""
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise HipError(f"{path}: is damaged or cut off", "download or copy the archive again") from error


def _unpacked_name(where: str) -> str:
    """The name of what is in a packed file: "x.pdf" in "x.pdf.gz"."""
    name = posixpath.basename(where)
    stem, suffix = posixpath.splitext(name)
    return stem if suffix.lower() in _PACKED_SUFFIXES else name


def _too_many(where: str) -> HipError:
    hint = "unpack it and name the files to read"
    return HipError(f"{where}: has more than {_MOST_MEMBERS:,} files inside", hint)


def _same(data: bytes) -> bytes:
    return data


def _fail(error: HipError) -> bytes:
    raise error
