"""Archives (zip, tar) and files packed by themselves (gzip, bzip2, xz): every file inside is read or named."""

import io
import posixpath
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from os import fsencode

from hipcli.documents.document import Content, Member
from hipcli.documents.gitignore import Patterns
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.archives.ignored_members import IgnoredMembers
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

    def __init__(self, options: ReadOptions, files: Mapping[str, Callable[[], bytes]]) -> None:
        patterns: dict[str, bytes] = {}
        self._unreadable: set[str] = set()
        for name, read_file in files.items():
            if options.gitignore and IgnoredMembers.has_patterns(name):
                try:
                    patterns[name] = read_file()
                except HipError:
                    self._unreadable.add(name)
        self._ignored = IgnoredMembers(patterns)
        self._include = Patterns(map(fsencode, options.include))
        self._exclude = Patterns(map(fsencode, options.exclude))

    def skipped(self, name: str) -> str | None:
        """Why the file called `name` is not read, if it is not. Patterns that cannot be read are, which says so."""
        if name in self._unreadable:
            return None
        parts = name.split("/")
        if parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts):
            return "is hidden"
        if name in self._ignored:
            return "is ignored by .gitignore"
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
    names = MemberNames()
    named = [(names.unique(entry_name(entry)), entry) for entry in entries]
    selection = _Selection(
        options, {name: partial(read_entry, archive, entry, f"{where}/{name}", options) for name, entry in named}
    )
    return tuple(_zip_member(archive, entry, name, selection, where, options) for name, entry in named)


def _zip_member(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    name: str,
    selection: _Selection,
    where: str,
    options: ReadOptions,
) -> Member:
    if stat.S_ISLNK(entry.external_attr >> 16):
        return Member(name, skipped="is a symbolic link")
    skipped = selection.skipped(name)
    return Member(
        name, partial(read_entry, archive, entry, f"{where}/{name}", options), skipped, quiet=skipped is not None
    )


def _tar_members(data: bytes, where: str, options: ReadOptions) -> tuple[Member, ...]:
    names = MemberNames()
    named: list[tuple[str, tarfile.TarInfo]] = []
    rest: list[Member] = []
    try:
        archive = tarfile.open(fileobj=io.BytesIO(data), mode="r:")  # noqa: SIM115
        for number, entry in enumerate(archive):
            if number == _MOST_MEMBERS:
                raise _too_many(where)
            if not entry.isdir():
                named.append((names.unique(entry.name), entry))
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        what = f"is damaged or cut off ({str(error)[:200]})"
        hint = "download or copy it again"
        if not named:
            raise HipError(f"{where}: {what}", hint) from error
        lost = HipError(f"{where}: {what}: nothing is read behind {named[-1][0]}", hint)
        rest.append(Member(names.unique("the rest"), partial(_fail, lost)))
    selection = _Selection(
        options,
        {
            name: partial(_read_tar_entry, archive, entry, f"{where}/{name}", options)
            for name, entry in named
            if entry.isfile()
        },
    )
    return (*(_tar_member(archive, entry, name, selection, where, options) for name, entry in named), *rest)


def _tar_member(
    archive: tarfile.TarFile,
    entry: tarfile.TarInfo,
    name: str,
    selection: _Selection,
    where: str,
    options: ReadOptions,
) -> Member:
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
