"""Which backend runs where, and when a GPU attends densely."""

from dataclasses import replace

import pytest
import torch
from hip_attention.backend import make_summaries, search_start, uses_triton
from hip_attention.config import HipConfig, Selector
from hip_attention.plan import sparse_start
from hip_attention.torch_backend.summaries import KeySummaries

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_cpu_runs_torch_and_refuses_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not uses_triton(HipConfig(), CPU)
    assert isinstance(make_summaries(HipConfig(), CPU), KeySummaries)
    with pytest.raises(ValueError, match="needs a GPU, not cpu"):
        uses_triton(HipConfig(backend="triton"), CPU)


def test_a_gpu_runs_triton_unless_told_otherwise() -> None:
    pytest.importorskip("triton")
    assert uses_triton(HipConfig(), GPU)
    assert not uses_triton(HipConfig(backend="torch"), GPU)
    assert not uses_triton(HipConfig(backend="dense"), GPU)
    assert not uses_triton(HipConfig(selector="exhaustive"), GPU), "there is no kernel for it"
    with pytest.raises(ValueError, match="no selector exhaustive"):
        uses_triton(HipConfig(selector="exhaustive", backend="triton"), GPU)


def test_a_gpu_searches_only_where_that_pays() -> None:
    pytest.importorskip("triton")
    config = HipConfig()
    for length in (4097, 6144, 8192):
        assert search_start(length, length, config, GPU) == length
        assert search_start(length, length, config, CPU) == sparse_start(length, length, config) < length
        told = replace(config, backend="triton")
        assert search_start(length, length, told, GPU) == sparse_start(length, length, told)
    # The first chunk of a prompt is read like the rest of it.
    assert search_start(8192, 8192, config, GPU, coming=500) == 8192
    assert search_start(8192, 8192, config, GPU, coming=24000) == sparse_start(8192, 8192, config) < 8192
    for length_q, length_k in ((12288, 12288), (32768, 32768), (2048, 131072)):
        assert search_start(length_q, length_k, config, GPU) == sparse_start(length_q, length_k, config) < length_q


@pytest.mark.parametrize("selector", ["representative", "representative-first", "exhaustive"])
def test_selecting_always_is_refused_where_it_would_not_be_exact(selector: Selector) -> None:
    with pytest.raises(ValueError, match="select_always needs a selector of summaries"):
        HipConfig(selector=selector, select_always=True)
