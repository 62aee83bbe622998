"""Keys and values as int8: rounding errors, and attention over codes against that over the dequantised numbers."""

from dataclasses import replace

import pytest
import torch
from hip_attention import HipConfig
from hip_attention.cache.buffer import Buffer
from hip_attention.cache.cache import Cache
from hip_attention.cache.int8 import FIRST, QuantizedBuffer
from hip_attention.cache.layer import LayerCache
from hip_attention.cache.step import Step
from hip_attention.rope import Rope
from hip_attention.rope_config import RopeConfig
from small_config import SMALL
from small_layers import feed, tensors

PACKED = replace(SMALL, packed_from=101)


def rope_of(dim: int) -> Rope:
    return Rope(RopeConfig(theta=1000.0), dim)


def stored(x, pieces=1000):
    buffer = QuantizedBuffer(block=4)
    for start in range(0, x.shape[2], pieces):
        buffer.append(x[:, :, start : start + pieces])
    return buffer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_loses_little_whatever_the_dimensions_are_like(dtype: torch.dtype) -> None:
    """Constants of a hundred, dimensions that differ by a factor of ten, and a first token far from all others."""
    scale = torch.logspace(-0.5, 0.5, 64)
    bias = torch.zeros(64).index_fill_(0, torch.tensor([3, 40]), 100.0)
    noise = torch.randn(2, 3, 500, 64, generator=torch.Generator().manual_seed(0))
    noise[:, :, 0] *= 20
    x = (noise * scale + bias).to(dtype)
    error = ((stored(x).part(1, 500).float() - x[:, :, 1:].float()) / scale).square().mean((0, 1, 2)).sqrt()
    # A step of 1 / 127 of the largest of 64, uniform within it, and what is rounded to its own dtype in addition.
    assert error.max() < (0.012 if dtype == torch.float32 else 0.25)
    others = torch.ones(64, dtype=torch.bool).index_fill_(0, torch.tensor([3, 40]), False)
    assert error[others].max() < 0.012
    first = stored(x).part(0, 1).float() - x[:, :, :1].float()
    assert first.square().mean().sqrt() < 0.01 * x[:, :, :1].float().square().mean().sqrt()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_constant_or_zero_or_tiny_comes_back(dtype: torch.dtype) -> None:
    x = torch.randn(1, 2, 200, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[:, :, 7] = 0
    x[:, :, :, 5] = 3.0
    x[:, 1] *= 1e-4
    back = stored(x).part(0, 200)
    assert back.dtype == dtype
    assert back[:, 0, :, 5].eq(3).all()
    for head in range(2):
        size = x[:, head].float().abs().mean()
        torch.testing.assert_close(back[:, head].float(), x[:, head].float(), atol=0.05 * size, rtol=0.01)
    for constant in (0.0, -2.5):
        same = torch.full((1, 2, 10, 16), constant, dtype=dtype)
        buffer = stored(same)
        assert buffer.part(0, 10).equal(same)
        buffer.append(x)
        torch.testing.assert_close(buffer.part(10, 210)[:, 0], x[:, 0], atol=0.1, rtol=0.01)


def test_a_dimension_that_wakes_up_late_spoils_no_other() -> None:
    x = torch.randn(1, 1, 400, 16, generator=torch.Generator().manual_seed(0))
    quiet = x.clone()
    x[:, :, :FIRST, 5] = quiet[:, :, :, 5] = 0
    error = (stored(x).part(0, 400) - x).abs()
    assert error.max() < 0.1
    assert (stored(quiet).part(0, 400) - quiet).abs().max() < 0.02


def test_pieces_truncation_and_the_memory_behind_change_nothing() -> None:
    _, x, y = tensors(500)
    whole = stored(x)
    pieces = QuantizedBuffer(capacity=20, block=4)
    pieces.append(x[:, :, :FIRST])
    for start in range(FIRST, 500, 31):
        pieces.append(x[:, :, start : start + 31])
    pieces.truncate(300)
    pieces.append(y[:, :, 300:])
    assert not pieces.part(300, 500).equal(whole.part(300, 500))
    pieces.truncate(300)
    pieces.append(x[:, :, 300:])
    assert pieces.length == 500
    assert pieces.part(0, 500).equal(whole.part(0, 500))
    scratch = Buffer(block=4)
    assert pieces.whole(499, scratch)[:, :, :499].equal(whole.part(0, 499))
    assert scratch.data.shape[2] == 500 and scratch.data.isfinite().all()
    pieces.truncate(0)
    pieces.append(y)
    assert pieces.part(0, 500).equal(stored(y).part(0, 500)), "nothing is left of the tokens that are forgotten"


def test_blocks_are_gathered_from_the_head_of_their_set() -> None:
    _, x, _ = tensors(60, batch=2, heads_k=3)
    buffer = stored(x)
    blocks = torch.randint(15, (2, 6, 5), generator=torch.Generator().manual_seed(0))
    plain = Buffer(block=4)
    plain.append(buffer.part(0, 60))
    for b, s, i in ((0, 0, 0), (0, 5, 4), (1, 2, 1)):
        first = 4 * int(blocks[b, s, i])
        expected = plain.part(first, first + 4)[b, s // 2]
        for gathered in (buffer.gather(blocks, 4), plain.gather(blocks, 4)):
            assert gathered.shape == (2, 6, 20, 16)
            assert gathered[b, s, 4 * i : 4 * i + 4].equal(expected)


def test_what_is_exported_comes_back_bit_by_bit() -> None:
    query, key, value = tensors(300)
    cache = LayerCache(SMALL, rope=rope_of(16), int8=True)
    feed(cache, query, key, value, 0, 300)
    kept = [{name: x.clone() for name, x in cache.export(*part).items()} for part in ((0, 100), (100, 300))]
    again = LayerCache(SMALL, rope=rope_of(16), int8=True)
    for tokens in kept:
        again.restore(tokens)
    bytes_a_token = sum(x[:, :, 0].numel() * x.element_size() for x in kept[1].values())
    assert bytes_a_token == 2 * 2 * (16 + 2)
    pairs = zip(again.export(0, 300).items(), cache.export(0, 300).items(), strict=True)
    assert all(name == other and x.equal(y) for (name, x), (other, y) in pairs)
    more = [x[:, :, 290:] for x in (query, key, value)]
    found = (each.attend(*more, Step(300, 10), scale=0.25) for each in (again, cache))
    assert torch.equal(*found)


class Twins:
    """A cache of int8, and one of the dequantised numbers."""

    def __init__(self, config: HipConfig, dim: int = 16, rotated: bool = False, dense: bool = False) -> None:
        rope = None if rotated else rope_of(dim)
        self.coded = LayerCache(config, rope=rope, int8=True, dense=dense)
        self.plain = LayerCache(config, rope=rope, dense=dense)

    def truncate(self, length: int) -> None:
        self.coded.truncate(length)
        self.plain.truncate(length)

    def check(self, query, key, value, start, stop, question=False, sliding_window=None) -> None:
        """Rows [start, stop) attend alike over both, up to rounding."""
        step, how = Step(start, stop - start, question), dict(scale=0.25, sliding_window=sliding_window)
        rows = (x[:, :, start:stop] for x in (query, key, value))
        found = self.coded.attend(*rows, step, **how)
        stored = self.coded.stored
        decoded = stored.keys.part(start, stop), stored.values.part(start, stop)
        expected = self.plain.attend(query[:, :, start:stop], *decoded, step, **how)
        assert found.isfinite().all()
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("selector", ["summary", "summary-exact", "representative", "exhaustive"])
@pytest.mark.parametrize("config", [SMALL, PACKED, replace(SMALL, top_k=0)], ids=["true", "packed", "streaming"])
@pytest.mark.parametrize(
    "shape",
    [dict(), dict(batch=2, heads=3, heads_k=3, dim=96), dict(heads=6, heads_k=1, dim=64)],
    ids=["group-2", "no-group", "group-6"],
)
def test_attention_is_that_over_decoded_numbers(poison, config, selector: str, shape: dict) -> None:
    """Chunks, decode across refreshes, a question, and other tokens after a truncation."""
    config = replace(config, selector=selector)
    query, key, value = tensors(210, **shape)
    twins = Twins(config, shape.get("dim", 16))
    for start, stop in ((0, 90), (90, 163), (163, 170)):
        twins.check(query, key, value, start, stop)
    for now in range(170, 178):
        twins.check(query, key, value, now, now + 1)
    twins.truncate(150)
    twins.check(query, -key, -value, 150, 161, question=True)
    for now in range(161, 166):
        twins.check(query, -key, -value, now, now + 1)


@pytest.mark.parametrize("how", [dict(dense=True), dict(sliding_window=20), dict()], ids=["dense", "sliding", "sparse"])
@pytest.mark.parametrize("rotated", [False, True], ids=["unrotated", "rotated"])
def test_keys_that_arrive_rotated_and_other_ways_to_attend(how: dict, rotated: bool) -> None:
    how = dict(how)
    query, key, value = tensors(150)
    twins = Twins(SMALL, rotated=rotated, dense=how.pop("dense", False))
    for start, stop in ((0, 30), (30, 140), *((i, i + 1) for i in range(140, 150))):
        twins.check(query, key, value, start, stop, **how)


@pytest.mark.parametrize("config", [SMALL, PACKED], ids=["true", "packed"])
def test_chunks_change_nothing(config: HipConfig) -> None:
    query, key, value = tensors(256)
    outputs = []
    for chunk in (32, 64, 128):
        cache, rows = LayerCache(config, rope=rope_of(16), int8=True), []
        rows.append(feed(cache, query, key, value, 0, FIRST))
        for start in range(FIRST, 256, chunk):
            rows.append(feed(cache, query, key, value, start, start + chunk))
        outputs.append(torch.cat(rows, 2))
    for other in outputs[1:]:
        torch.testing.assert_close(other, outputs[0], atol=2e-6, rtol=1e-5)


def test_layers_that_share_scratch_do_not_mix() -> None:
    query, key, value = tensors(200)
    config = replace(SMALL, dense_layers=0)
    layers = Cache(2, config, 200, [rope_of(16), rope_of(16)], int8=True).layers
    alone = LayerCache(config, 200, rope_of(16), int8=True)
    for start, stop in ((0, 100), (100, 200)):
        feed(layers[0], query, -key, value * 2, start, stop)
        rows = [feed(layer, query, key, value, start, stop) for layer in (layers[1], alone)]
        assert rows[0].equal(rows[1])


def test_layers_that_read_everything_stay_as_they_are() -> None:
    def coded(config: HipConfig) -> list[bool]:
        cache = Cache(4, config, ropes=[rope_of(16)] * 4, int8=True)
        return [isinstance(layer.stored.keys, QuantizedBuffer) for layer in cache.layers]

    assert coded(replace(SMALL, dense_layers=1)) == [False, True, True, True]
    assert coded(replace(PACKED, dense_layers=1)) == [True] * 4
    with pytest.raises(ValueError, match="int8"):
        Cache(4, HipConfig(backend="dense"), int8=True)
