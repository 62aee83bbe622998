"""The device that computes, and the type of numbers it computes with."""

from pathlib import Path
from typing import TYPE_CHECKING

from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    import torch

_CPUINFO = Path("/proc/cpuinfo")


def choose_device(device: str = "auto") -> "torch.device":
    """The device for "auto", "cpu", "cuda" or "cuda:N". Raises HipError for one that is not there."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise HipError(f"--device {device}: no such kind of device", "use auto, cpu or cuda", ExitCode.USAGE) from error
    if chosen.type not in ("cpu", "cuda"):
        raise HipError(f"--device {device}: not supported", "use auto, cpu or cuda", ExitCode.USAGE)
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            found = f"{count} CUDA device{'s' * (count != 1)} found"
            raise HipError(f"--device {device}: {found}", "use --device cpu, or check the driver with `hip doctor`")
    return chosen


def choose_dtype(dtype: str, device: "torch.device") -> "torch.dtype":
    """The weights' type for "auto" or a name. "auto" is the shortest type that the device computes natively."""
    import torch

    names = {
        "bfloat16": torch.bfloat16,
        "bf16": torch.bfloat16,
        "float16": torch.float16,
        "fp16": torch.float16,
        "float32": torch.float32,
        "fp32": torch.float32,
    }
    if dtype in names:
        return names[dtype]
    if dtype != "auto":
        raise HipError(f"--dtype {dtype}: no such type", "use auto, bfloat16, float16 or float32", ExitCode.USAGE)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    """Whether bfloat16 products run in hardware; emulated they are slower than float32."""
    import torch

    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    flags = _CPUINFO.read_text(encoding="utf-8", errors="replace").split() if _CPUINFO.is_file() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags
