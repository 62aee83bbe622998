"""RoPE of queries and keys in one pass over the memory."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

NUMBERS = 2048  # numbers of half a head that a program rotates


def rotate_pair(
    query: Tensor, key: Tensor, tables: tuple[Tensor, Tensor], start: Tensor | int
) -> tuple[Tensor, Tensor]:
    """Query [B, Hq, T, D] and key [B, Hkv, T, D] rotated to positions from `start` on.

    `tables` are cosine and sine [positions, D / 2]; `start` is int64 [1] on the device, or an int. Returns contiguous
    tensors.
    """
    query, key = (x if x.stride(3) == 1 else x.contiguous() for x in (query, key))
    rotated = tuple(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (query, key))
    batch, heads, length, dim = query.shape
    width = triton.next_power_of_2(dim // 2)
    rows = min(triton.next_power_of_2(length), max(1, NUMBERS // width))
    on_device = isinstance(start, Tensor)
    with torch.cuda.device_of(query):
        _rotate_pair[(triton.cdiv(length, rows), heads + key.shape[1], batch)](
            query, key, *rotated, *tables, start, length, heads, *query.stride()[:3], *key.stride()[:3],
            ROWS=rows, SIZE=dim // 2, WIDTH=width, ON_DEVICE=on_device, num_warps=1 if length == 1 else 4,
        )  # fmt: skip
    return rotated[0], rotated[1]


def rotate_row(
    query: Tensor, tables: tuple[Tensor, Tensor], offset: int, length: Tensor, since: Tensor | None = None
) -> Tensor:
    """Query [B, Hq, 1, D] rotated to position `length` + `offset`, or `length` - `since` + `offset`.

    `length` and `since` are int32 [1] on the device; `tables` as for `rotate_pair`.
    """
    batch, heads, _, dim = query.shape
    output = torch.empty(batch, heads, 1, dim, dtype=query.dtype, device=query.device)
    with torch.cuda.device_of(query):
        _rotate_row[(heads, batch)](
            query, output, *tables, offset, length, length if since is None else since, *query.stride()[:2],
            *output.stride()[:2], SIZE=dim // 2, WIDTH=triton.next_power_of_2(dim // 2), SINCE=since is not None,
            num_warps=1,
        )  # fmt: skip
    return output


@triton.jit(do_not_specialize=["start", "length", "heads"])
def _rotate_pair(
    query, key, query_out, key_out, cosine, sine, start, length, heads, sqb, sqh, sqt, skb, skh, skt,
    ROWS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, ON_DEVICE: tl.constexpr,
):  # fmt: skip
    """ROWS tokens of one head: heads of the query come first, then those of the key."""
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    row = (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None]  # [ROWS, 1]
    dim = tl.arange(0, WIDTH)[None, :]  # [1, WIDTH]
    here = (row < length) & (dim < SIZE)
    first_position = tl.load(start) if ON_DEVICE else start
    angle = (first_position + row) * SIZE + dim
    cos = tl.load(cosine + angle, mask=here, other=0.0).to(tl.float32)
    sin = tl.load(sine + angle, mask=here, other=0.0).to(tl.float32)
    if head < heads:
        x = query + batch * sqb + head * sqh + row * sqt + dim
        out = query_out + ((batch * heads + head) * length + row) * (2 * SIZE) + dim
    else:
        heads_k = tl.num_programs(1) - heads
        x = key + batch * skb + (head - heads) * skh + row * skt + dim
        out = key_out + ((batch * heads_k + head - heads) * length + row) * (2 * SIZE) + dim
    first = tl.load(x, mask=here, other=0.0).to(tl.float32)
    second = tl.load(x + SIZE, mask=here, other=0.0).to(tl.float32)
    tl.store(out, (first * cos - second * sin).to(out.dtype.element_ty), mask=here)
    tl.store(out + SIZE, (second * cos + first * sin).to(out.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize=["offset"])
def _rotate_row(
    query, output, cosine, sine, offset, length, since, sqb, sqh, sob, soh,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, SINCE: tl.constexpr,
):  # fmt: skip
    head, batch = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    dim = tl.arange(0, WIDTH)
    inside = dim < SIZE
    position = tl.load(length) + offset
    if SINCE:
        position -= tl.load(since)
    angle = position.to(tl.int64) * SIZE + dim
    cos = tl.load(cosine + angle, mask=inside, other=0.0).to(tl.float32)
    sin = tl.load(sine + angle, mask=inside, other=0.0).to(tl.float32)
    at = query + batch * sqb + head * sqh + dim
    first = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(at + SIZE, mask=inside, other=0.0).to(tl.float32)
    out = output + batch * sob + head * soh + dim
    tl.store(out, (first * cos - second * sin).to(output.dtype.element_ty), mask=inside)
    tl.store(out + SIZE, (second * cos + first * sin).to(output.dtype.element_ty), mask=inside)
