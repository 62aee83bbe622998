"""Baselines against brute force, on tensors small enough to do every row by hand."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hip_attention import HipConfig
from hip_attention.plan import searchable_blocks

from hipcli.evaluation import baselines, hyper
from hipcli.evaluation.mass import mass
from hipcli.evaluation.specs import Spec

CONFIG = HipConfig(
    top_k=16, block_q=8, block_k=4, sink=8, window=12, dense_layers=0, min_context=0, query_stride=1, backend="torch"
)
HEADS, KEY_HEADS, DIM = 4, 2, 16
SCALE = DIM**-0.5


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(3)
    shapes = ((1, HEADS, 101, DIM), (1, KEY_HEADS, 101, DIM), (1, KEY_HEADS, 101, DIM))
    return [torch.randn(*shape, generator=generator) for shape in shapes]


def score(name: str, rows, keys) -> float:
    """Score of one block keys [block_k, D] for rows [r, D]: the best row's."""
    if name == "mean":
        return (rows @ keys.mean(0)).max().item()
    if name == "oracle":
        return (rows @ keys.T).max().item()
    return max(
        sum(max(r * low, r * high) for r, low, high in zip(row, keys.amin(0), keys.amax(0), strict=True))
        for row in rows
    ).item()


def expected(name: str, query, key, value, config=CONFIG):
    """Row by row: sink, window, and the keys of the best blocks of the row's query block."""
    length_q, length_k = query.shape[2], key.shape[2]
    offset, output = length_k - length_q, torch.empty(1, HEADS, length_q, DIM)
    for head in range(HEADS):
        keys, values = key[0, head // 2], value[0, head // 2]
        for i in range(length_q):
            p = offset + i
            first = max(offset, p // config.block_q * config.block_q)
            last = min(length_k, (p // config.block_q + 1) * config.block_q) - 1
            blocks = searchable_blocks(last, config.sink, config.window, config.block_k)
            seen = torch.arange(length_k) <= p
            if blocks > config.selected_blocks:
                rows = query[0, head, first - offset : last + 1 - offset]
                starts = [config.sink + b * config.block_k for b in range(blocks)]
                ranked = sorted(starts, key=lambda s: -score(name, rows, keys[s : s + config.block_k]))
                far = torch.zeros(length_k, dtype=torch.bool)
                for start in ranked[: config.selected_blocks]:
                    far[start : start + config.block_k] = True
                position = torch.arange(length_k)
                seen &= far | (position < config.sink) | (position > p - config.window)
            logits = (keys @ query[0, head, i] * SCALE).masked_fill(~seen, -math.inf)
            output[0, head, i] = logits.softmax(0) @ values
    return output


@pytest.mark.parametrize("name", ["mean", "quest", "oracle"])
@pytest.mark.parametrize("rows", [101, 37, 1])
def test_blocks_are_the_best_by_brute_force(name: str, rows: int, tensors) -> None:
    query, key, value = tensors
    query = query[:, :, -rows:]
    found = baselines.ATTENTION[name](query, key, value, CONFIG, SCALE)
    torch.testing.assert_close(found, expected(name, query, key, value), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mean", "quest", "oracle"])
def test_chunks_do_not_matter(name: str, tensors) -> None:
    query, key, value = tensors
    whole = baselines.ATTENTION[name](query, key, value, CONFIG, SCALE)
    early = baselines.ATTENTION[name](query[:, :, :64], key[:, :, :64], value[:, :, :64], CONFIG, SCALE)
    torch.testing.assert_close(whole[:, :, :64], early)


def test_everything_is_dense_when_the_budget_covers_it(tensors) -> None:
    query, key, value = tensors
    config = HipConfig(top_k=96, block_q=8, block_k=4, sink=8, window=12, min_context=0, backend="torch")
    dense = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    for attention in (*baselines.ATTENTION.values(), hyper.attention):
        torch.testing.assert_close(attention(query, key, value, config, SCALE), dense, rtol=1e-4, atol=1e-5)


def test_hyper_bias_by_brute_force(tensors) -> None:
    query, key, _ = tensors
    query_code, key_code = hyper.codes(query), hyper.codes(key)
    first, rows = 96, 5
    bias = hyper.far_bias(query_code[:, :, first:], key_code, first, CONFIG)
    far = range(CONFIG.sink, first - CONFIG.window + 1)
    half = CONFIG.top_k // 2
    for head in range(HEADS):
        ordered = sorted(far, key=lambda k: (key_code[0, head // 2, k].item(), k))
        for i in range(rows):
            p, code = first + i, query_code[0, head, first + i].item()
            codes = [key_code[0, head // 2, k].item() for k in ordered]
            place = (sum(c < code for c in codes) + sum(c <= code for c in codes)) // 2
            start = min(place, len(ordered) - 1) // half * half
            row = bias[0, head, i]
            seen = {k for k in range(101) if row[k] > -math.inf}
            exact = {k for k in range(101) if row[k] == 0}
            near = {k for k in range(101) if k < CONFIG.sink or first - CONFIG.window < k <= p}
            assert exact == near | set(ordered[start : start + half])
            sampled = seen - exact
            assert len(sampled) <= CONFIG.top_k - half
            assert all(row[k].item() == pytest.approx(math.log(len(far) / half)) for k in sampled)


def test_codes_follow_a_gray_sequence() -> None:
    x = torch.randn(1, 1, 4000, 8, generator=torch.Generator().manual_seed(0))
    codes = hyper.codes(x)
    generator = torch.Generator().manual_seed(0)
    bits = (x @ torch.randn(8, hyper.BITS, generator=generator) > 0)[0, 0]
    side = {int(code): bits[i] for i, code in enumerate(codes[0, 0])}
    assert len(side) > 100
    steps = [(side[c] != side[c + 1]).sum().item() for c in side if c + 1 in side]
    assert set(steps) == {1}


def test_hyper_samples_stand_for_what_they_leave_out() -> None:
    """With equal keys everywhere, bucket and weighted sample give the dense mean of the values."""
    key = torch.zeros(1, 1, 4096, DIM)
    query = torch.zeros(1, 1, 64, DIM)
    value = torch.randn(1, 1, 4096, 1, generator=torch.Generator().manual_seed(0)) + torch.linspace(0, 9, 4096)[:, None]
    config = HipConfig(top_k=1024, sink=16, window=128, min_context=0, backend="torch")
    found = hyper.attention(query, key, value, config, 1.0)
    assert found.mean().item() == pytest.approx(value.mean().item(), rel=0.15)


def test_mass_is_the_softmax_over_what_is_seen(tensors) -> None:
    query, key, _ = tensors
    query, key = query[:, :, 88:96], key[:, :, :96]
    spec = Spec("oracle", "oracle", CONFIG)
    blocks = searchable_blocks(95, CONFIG.sink, CONFIG.window, CONFIG.block_k)
    shares = []
    for head in range(HEADS):
        keys = key[0, head // 2]
        starts = [CONFIG.sink + b * CONFIG.block_k for b in range(blocks)]
        ranked = sorted(starts, key=lambda s: -score("oracle", query[0, head], keys[s : s + CONFIG.block_k]))
        chosen = {k for start in ranked[: CONFIG.selected_blocks] for k in range(start, start + CONFIG.block_k)}
        for i in range(8):
            p = 88 + i
            weights = (keys[: p + 1] @ query[0, head, i] * SCALE).softmax(0)
            shares.append(sum(w.item() for k, w in enumerate(weights) if k < 8 or k > p - 12 or k in chosen))
    assert mass(query, key, spec, SCALE) == pytest.approx(sum(shares) / len(shares), rel=1e-4)
    assert mass(query, key, Spec("hip", "hip", CONFIG), SCALE) <= mass(query, key, spec, SCALE) + 0.05


@pytest.mark.parametrize("name", ["mean", "quest", "oracle"])
@pytest.mark.parametrize("rows", [37, 1])
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="run by test_triton_attends_alike")
def test_with_triton(name: str, rows: int, tensors) -> None:
    query, key, value = tensors
    query = query[:, :, -rows:]
    found = baselines.ATTENTION[name](query, key, value, replace(CONFIG, backend="triton"), SCALE)
    torch.testing.assert_close(found, expected(name, query, key, value), rtol=1e-4, atol=1e-5)


def test_triton_attends_alike() -> None:
    """In Triton's interpreter, in a process of its own."""
    triton, numpy = pytest.importorskip("triton"), pytest.importorskip("numpy")
    versions = [tuple(map(int, module.__version__.split(".")[:2])) for module in (triton, numpy)]
    if versions[0] < (3, 7) and versions[1] >= (2, 4):
        pytest.skip("the interpreter of Triton before 3.7 breaks on NumPy 2.4")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_with_triton", __file__]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "6 passed" in done.stdout
