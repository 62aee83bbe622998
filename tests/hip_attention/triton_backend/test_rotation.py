"""Keys that the Triton kernels rotate themselves, to true and to packed positions (see tests/triton_device.py)."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from triton_device import DEVICE, INTERPRETED, NEEDS_DEVICE

pytest.importorskip("triton")

from hip_attention import reference
from hip_attention.config import HipConfig, Selector
from hip_attention.plan import searchable_blocks
from hip_attention.triton_backend.attend import attend
from hip_attention.triton_backend.decode import DecodeBuffers
from hip_attention.triton_backend.prefill import prefill
from hip_attention.triton_backend.summaries import TreeSummaries

pytestmark = NEEDS_DEVICE

CONFIG = HipConfig(
    selector="summary", top_k=24, block_q=16, block_k=4, sink=8, window=21, query_stride=1, min_context=0,
    backend="triton",
)  # fmt: skip
SCALE = 0.3


def make_tables(length: int, dim: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    angles = torch.arange(length)[:, None] * 500.0 ** -(torch.arange(dim // 2) * 2 / dim)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotated(x: Tensor, place: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """x [..., T, D] rotated to the positions int64 [T]."""
    cosine, sine = (table[place].float() for table in tables)
    first, second = x.float().chunk(2, -1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1)


def packed_base(block: int, config: HipConfig) -> int:
    return (block * config.block_q - config.window + 1) // config.block_k * config.block_k


def expect(
    query: Tensor, key: Tensor, value: Tensor, blocks: Tensor, begin: int, config: HipConfig,
    tables: tuple[Tensor, Tensor], packed: bool,
) -> Tensor:  # fmt: skip
    """Attention of the rows from position `begin` on with every key and query, un-rotated, rotated by hand.

    A query block's keys are laid out in one row: sink, selected, window. A key's packed position is its place there.
    """
    output = torch.full_like(query, torch.nan)
    length_q, length_k = query.shape[2], key.shape[2]
    group = query.shape[1] // key.shape[1]
    for b, h, i in torch.cartesian_prod(*(torch.arange(n) for n in blocks.shape[:3])).tolist():
        block = begin // config.block_q + i
        position = torch.arange(max(begin, block * config.block_q), min(length_k, (block + 1) * config.block_q))
        base = packed_base(block, config)
        chosen = (blocks[b, h, i][:, None].long() * config.block_k + torch.arange(config.block_k)).flatten()
        keys = torch.cat((torch.arange(config.sink), chosen, torch.arange(base, int(position[-1]) + 1)))
        before = config.sink + len(chosen)
        old = keys <= position[:, None] - config.window
        in_window = torch.arange(len(keys)) >= before
        seen = torch.where(in_window, ~old & (keys <= position[:, None]), old)
        at, where = (torch.arange(len(keys)), before + position - base) if packed else (keys, position)
        rows = position - (length_k - length_q)
        logits = rotated(query[b, h, rows], where, tables) @ rotated(key[b, h // group, keys], at, tables).T * SCALE
        weights = logits.masked_fill(~seen, -torch.inf).softmax(-1)
        output[b, h, rows] = (weights @ value[b, h // group, keys].float()).to(output.dtype)
    return output


def turn_queries(
    query: Tensor, length_k: int, config: HipConfig, tables: tuple[Tensor, Tensor], packed: bool
) -> Tensor:
    """Rows at the end of `length_k` keys rotated to where they stand."""
    position = torch.arange(length_k - query.shape[2], length_k)
    if packed:
        base = torch.tensor([packed_base(p // config.block_q, config) for p in position.tolist()])
        position = (position - base + config.sink + config.top_k).clamp(max=len(tables[0]) - 1)
    return rotated(query, position, tables).to(query.dtype)


def draw(batch=1, heads=4, heads_k=2, length_q=37, length_k=150, dim=16, dtype=torch.float32):
    generator = torch.Generator().manual_seed(dim + length_k)
    shapes = ((batch, heads, length_q, dim), *2 * [(batch, heads_k, length_k, dim)])
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def draw_blocks(query: Tensor, begin: int, length_k: int, config: HipConfig) -> Tensor:
    """Some blocks for every head and query block: int32 [B, Hq, count, K], the last searchable one among them."""
    generator = torch.Generator().manual_seed(3)
    first = begin // config.block_q
    count = -(-length_k // config.block_q) - first
    found = torch.empty(*query.shape[:2], count, config.selected_blocks, dtype=torch.int32)
    for b, h, i in torch.cartesian_prod(*(torch.arange(n) for n in found.shape[:3])).tolist():
        last = min(length_k, (first + i + 1) * config.block_q) - 1
        newest = searchable_blocks(last, config.sink, config.window, config.block_k) - 1
        some = torch.cat((torch.randperm(newest, generator=generator), torch.tensor([newest])))
        found[b, h, i] = some[len(some) - config.selected_blocks :].sort().values + config.sink // config.block_k
    return found


CASES = [
    pytest.param({}, {}, id="unaligned-chunk"),
    pytest.param(dict(length_q=32, length_k=160, heads=3, heads_k=1, batch=2), {}, id="aligned-mqa-batch"),
    pytest.param(dict(length_q=1, length_k=149), dict(window=16), id="one-row"),
    pytest.param(dict(dim=64), dict(top_k=0, window=32), id="streaming"),
    pytest.param(dict(dim=96), dict(sink=0, window=17), id="padded-head"),
    pytest.param(dict(dim=128, length_q=20), dict(sink=12, window=33, top_k=12), id="wide-head"),
    pytest.param(dict(length_q=70, length_k=230), dict(block_q=64, window=64), id="query-block-of-tiles"),
]
if not INTERPRETED:
    CASES += [
        pytest.param(
            dict(length_q=300, length_k=3000, dim=dim),
            dict(top_k=512, block_q=block_q, block_k=16, sink=64, window=512),
            id=f"full-size-{dim}-{block_q}",
        )
        for dim in (64, 128)
        for block_q in (64, 128)
    ]


@pytest.mark.parametrize("packed", [False, True], ids=["true", "packed"])
@pytest.mark.parametrize("shape,changes", CASES)
def test_prefill_rotates_keys(shape: dict, changes: dict, packed: bool) -> None:
    config = replace(CONFIG, **changes)
    query, key, value = draw(**shape)
    check_attend(query, key, value, config, packed, 1e-5)


# The interpreter's products of bfloat16 matrices are wrong.
@pytest.mark.parametrize("packed", [False, True], ids=["true", "packed"])
@pytest.mark.parametrize("dtype", [torch.float16] if INTERPRETED else [torch.float16, torch.bfloat16])
def test_prefill_rotates_in_half_precision(dtype: torch.dtype, packed: bool) -> None:
    query, key, value = draw(dim=64, dtype=dtype)
    check_attend(query, key, value, CONFIG, packed, 1e-2 if dtype == torch.float16 else 4e-2)


def check_attend(query: Tensor, key: Tensor, value: Tensor, config: HipConfig, packed: bool, error: float) -> None:
    length_q, length_k = query.shape[2], key.shape[2]
    begin = length_k - length_q
    tables = make_tables(length_k, query.shape[3], query.dtype)
    blocks = draw_blocks(query, begin, length_k, config)
    query_at = turn_queries(query, length_k, config, tables, packed)
    output = torch.full_like(query, torch.nan).to(DEVICE)
    attend(
        query_at.to(DEVICE), key.to(DEVICE), value.to(DEVICE), blocks.to(DEVICE) if config.top_k else None,
        begin, blocks.shape[2], length_k, output, scale=SCALE, sink=config.sink, window=config.window,
        block_q=config.block_q, block_k=config.block_k, tables=tuple(x.to(DEVICE) for x in tables), packed=packed,
    )  # fmt: skip
    expected = expect(query, key, value, blocks, begin, config, tables, packed)
    torch.testing.assert_close(output.cpu(), expected, atol=error, rtol=error)


@pytest.mark.parametrize("packed", [False, True], ids=["true", "packed"])
@pytest.mark.parametrize("selector", ["summary", "summary-exact", "representative"])
def test_prefill_searches_with_its_own_query(selector: Selector, packed: bool) -> None:
    query, key, value = draw()
    config = replace(CONFIG, selector=selector)
    tables = make_tables(150, 16)
    search_query = query.roll(1, 1)
    summaries = TreeSummaries(config.sink, config.block_k)
    summaries.extend(key[:, :, config.sink :].to(DEVICE))
    output = torch.full_like(query, torch.nan).to(DEVICE)
    prefill(
        turn_queries(query, 150, config, tables, packed).to(DEVICE), key.to(DEVICE), value.to(DEVICE), 0, 150,
        summaries, config, SCALE, output, search_query.to(DEVICE), tuple(x.to(DEVICE) for x in tables), packed,
    )  # fmt: skip
    blocks = reference.select(search_query, key, config)
    expected = expect(query, key, value, blocks, 113, config, tables, packed)
    torch.testing.assert_close(output.cpu(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("packed", [False, True], ids=["true", "packed"])
@pytest.mark.parametrize("age,changes", [(0, {}), (3, {}), (7, dict(top_k=0)), (2, dict(sink=0, window=17))])
@pytest.mark.parametrize("dim", [16, 96])
def test_decode_rotates_keys(age: int, changes: dict, dim: int, packed: bool) -> None:
    config = replace(CONFIG, **changes)
    query, key, value = draw(length_q=1, length_k=150 + age, dim=dim)
    refreshed = 150
    tables = make_tables(150 + age, dim)
    state = DecodeBuffers(config, 1, 4, 2, dim, torch.device(DEVICE))
    state.length.fill_(150 + age)
    state.refreshed.fill_(refreshed)
    state.blocks.copy_(draw_blocks(query, 149, 150, config)[:, :, 0])
    state.share()
    chosen = state.blocks.cpu().long()
    base = refreshed - config.window
    stand = config.sink + config.top_k + 149 + age - base if packed else 149 + age
    output = torch.full_like(query, torch.nan).to(DEVICE)
    state.attend(
        rotated(query, torch.tensor([stand]), tables).to(DEVICE), key.to(DEVICE), value.to(DEVICE), SCALE, output,
        tuple(x.to(DEVICE) for x in tables), packed,
    )  # fmt: skip
    for h in range(4):
        blocks = chosen[0, h] if packed else chosen[0, h // 2 * 2 : h // 2 * 2 + 2].unique()
        selected = (blocks[:, None] * config.block_k + torch.arange(config.block_k)).flatten()
        before = config.sink + len(selected)
        keys = torch.cat((torch.arange(config.sink), selected, torch.arange(base, 150 + age)))
        seen = (torch.arange(len(keys)) >= before) | (keys < base)
        places = torch.arange(len(keys)) if packed else keys
        row = rotated(query[0, h], torch.tensor([stand]), tables)
        logits = row @ rotated(key[0, h // 2, keys], places, tables).T * SCALE
        expected = logits.masked_fill(~seen, -torch.inf).softmax(-1) @ value[0, h // 2, keys]
        torch.testing.assert_close(output[0, h].cpu(), expected, atol=1e-5, rtol=1e-5)
