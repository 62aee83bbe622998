"""Which device and which numbers are chosen."""

import pytest
import torch

import hipcli.engine.device
from hipcli.engine.device import choose_device, choose_dtype
from hipcli.errors import ExitCode, HipError


class TestChoice:
    def test_names_of_types(self):
        cpu = torch.device("cpu")
        assert choose_dtype("bf16", cpu) == choose_dtype("bfloat16", cpu) == torch.bfloat16
        assert choose_dtype("fp16", cpu) == torch.float16
        assert choose_dtype("float32", cpu) == torch.float32
        with pytest.raises(HipError, match="--dtype int4: no such type") as caught:
            choose_dtype("int4", cpu)
        assert caught.value.exit_code == ExitCode.USAGE

    @pytest.mark.parametrize(
        ("capability", "flags", "expected"),
        [
            ("AVX512", "fpu avx512f avx512_bf16", torch.bfloat16),
            ("AVX512", "fpu avx512f amx_bf16", torch.bfloat16),
            ("AVX512", "fpu avx512f", torch.float32),
            ("AVX2", "fpu avx512_bf16", torch.float32),
        ],
    )
    def test_automatic_type(self, capability, flags, expected, tmp_path, monkeypatch):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor : 0\nflags : {flags}\n")
        monkeypatch.setattr(hipcli.engine.device, "_CPUINFO", cpuinfo)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        assert choose_dtype("auto", torch.device("cpu")) == expected

    def test_devices(self):
        assert choose_device("cpu") == torch.device("cpu")
        assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
        for name in ("banana", "mps"):
            with pytest.raises(HipError, match=f"--device {name}") as caught:
                choose_device(name)
            assert caught.value.exit_code == ExitCode.USAGE
        with pytest.raises(HipError, match=r"--device cuda:99: \d+ CUDA devices? found"):
            choose_device("cuda:99")
