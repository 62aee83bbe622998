"""Zip files read defensively: every fault of one is a HipError, and nothing is bigger than allowed."""

import io
import lzma
import struct
import zipfile
import zlib

from hipcli.documents.options import MIB, ReadOptions
from hipcli.errors import HipError

_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    struct.error,
)
_METHODS = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 97: "WavPack", 98: "PPMd"}
_AES = 99
_ENCRYPTED = 1
_UTF8_NAME = 0x800


def open_zip(data: bytes, where: str) -> zipfile.ZipFile:
    """The zip file in `data`. Raises HipError, which calls it `where`, if it is damaged."""
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (*_FAULTS, NotImplementedError) as error:
        hint = "download or copy it again; zip -FF may repair it"
        raise HipError(f"{where}: is a damaged zip file ({_first_line(error)})", hint) from error


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: str, options: ReadOptions) -> bytes:
    """The bytes of one file, called `path` in errors; options.password opens it where it is encrypted.

    Raises HipError if it is damaged, encrypted, packed in an unknown way, or too big.
    """
    encrypted = bool(entry.flag_bits & _ENCRYPTED)
    if encrypted and entry.compress_type == _AES:
        raise HipError(f"{path}: is encrypted with AES, which is not read", "unpack it, for example with 7z x")
    if entry.file_size > options.most_bytes:
        raise too_big(path, options)
    password = None if options.password is None else options.password.encode()
    try:
        with archive.open(entry, pwd=password if encrypted else None) as stream:
            data = stream.read(options.most_bytes + 1)
    except NotImplementedError as error:
        method = _METHODS.get(entry.compress_type, f"method {entry.compress_type}")
        hint = "unpack it, for example with 7z x, and name the files"
        raise HipError(f"{path}: is packed with {method}, which is not read", hint) from error
    except RuntimeError as error:  # what zipfile raises about passwords
        wrong = options.password is not None
        hint = "another password may open it" if wrong else "name its password with --password"
        raise HipError(f"{path}: is encrypted{', and the password is wrong' if wrong else ''}", hint) from error
    except _FAULTS as error:
        if encrypted:  # one password in 256 passes for the right one until the checksum is made
            raise HipError(f"{path}: is damaged, or the password is wrong", "check the password") from error
        raise HipError(f"{path}: is damaged ({_first_line(error)})", "download or copy it again") from error
    if len(data) > options.most_bytes:
        raise too_big(path, options)
    return data


def files_in(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """What is in the zip file but folders. Not by ZipInfo.is_dir, which fails for an empty name."""
    return [entry for entry in archive.infolist() if not entry.filename.endswith("/")]


def entry_name(entry: zipfile.ZipInfo) -> str:
    """The name of a file; many programs write it in UTF-8 without saying so."""
    if entry.flag_bits & _UTF8_NAME or entry.orig_filename.isascii():
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def too_big(path: str, options: ReadOptions) -> HipError:
    return HipError(
        f"{path}: unpacks to more than {options.most_bytes // MIB:,} MiB",
        "allow more with --read-memory, which is four times that",
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
