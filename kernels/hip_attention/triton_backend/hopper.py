"""Block-sparse attention for Hopper GPUs in Gluon: one warp copies keys while two warp groups compute.

The same sums as `attend.py`, for query blocks of 128 rows, 128 dimensions and keys that can be copied in boxes of 16.
A multiprocessor runs one program, which copies the next query block's keys while it computes the current one.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import torch
from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier, tma, warpgroup_mma, warpgroup_mma_wait
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

TILE = 128  # rows of a program, half of them for each warp group
CHUNK = 64  # keys that are attended to together
STAGES = 5  # chunks that shared memory holds
BOX = 16  # keys that are copied together
PANEL = 64  # dimensions that are copied together: 128 bytes


def fits(query: Tensor, key: Tensor, value: Tensor, block_q: int, block_k: int, sink: int) -> bool:
    """Whether `attend` can compute this on a Hopper GPU; arguments as those of `attend.attend`."""
    return (
        query.dtype == torch.bfloat16
        and query.shape[3] == value.shape[3] == 128
        and block_q == TILE
        and block_k % BOX == 0
        and sink % BOX == 0
        and all(
            x.data_ptr() % 16 == 0 and all(s > 0 and s % 8 == 0 for s in x.stride()[:3]) for x in (query, key, value)
        )
    )


def hides_any(selected: int, block_k: int) -> bool:
    """Whether any of the `selected` blocks of a query block may be masked for some rows, not only the last ones."""
    return selected * block_k - (127 // block_k + 2) * block_k < CHUNK


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor,
    begin: int,
    count: int,
    length_k: int,
    output: Tensor,
    flags: Tensor,
    *,
    scale: float,
    selected: int,
    sink: int,
    window: int,
    block_k: int,
) -> None:
    """As `attend.attend`, with `selected` blocks per query block; tiles whose weights grow too large set their flag,
    int32 [B, Hq * count], to 1."""
    batch, heads, length_q, _ = query.shape
    jobs = batch * heads * count
    layout = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=4)

    def boxes(x: Tensor, length: int, rows: int) -> TensorDescriptor:
        shape = [x.shape[0], x.shape[1], length, x.shape[3]]
        return TensorDescriptor(x, shape, list(x.stride()), [1, 1, rows, PANEL], layout)

    processors = torch.cuda.get_device_properties(query.device).multi_processor_count
    _attend[(min(jobs, processors),)](
        boxes(query, length_q, TILE // 2), boxes(key, length_k, BOX), boxes(value, length_k, BOX),
        output, blocks, flags, jobs,
        begin // TILE, begin, length_k, length_k - length_q, count, scale * 1.4426950408889634, *output.stride()[:3],
        HEADS=heads, GROUP=heads // key.shape[1], BLOCK_K=block_k, SELECTED=selected,
        SINK=sink, WINDOW=window, CHUNK=CHUNK, STAGES=STAGES, num_warps=4, maxnreg=168,
    )  # fmt: skip


@gluon.jit
def _plan(
    job, chosen, first_block, begin, length_k, blocks, HEADS: gl.constexpr, GROUP: gl.constexpr, BLOCK_K: gl.constexpr,
    SELECTED: gl.constexpr, SINK: gl.constexpr, WINDOW: gl.constexpr, CHUNK: gl.constexpr,
):  # fmt: skip
    """Where a job's chunks begin and how many there are.

    Chunks that some rows may not see come first, for the reason that `attend._attend` gives: `late` ones of
    selected keys, then the sink's rest, the window's beginning and its end. The others follow: `free` chunks of
    selected keys, sink, middle of the window.
    """
    batch = job // (HEADS * blocks)
    index = job % (HEADS * blocks) // GROUP % blocks
    head = job % (HEADS * blocks) // GROUP // blocks * GROUP + job % GROUP
    slots = chosen + ((batch * HEADS + head).to(gl.int64) * blocks + index) * SELECTED
    first = gl.maximum((first_block + index) * 128, begin)
    last = gl.minimum((first_block + index + 1) * 128, length_k) - 1
    GATHERED: gl.constexpr = SELECTED * BLOCK_K
    EDGE: gl.constexpr = (127 // BLOCK_K + 2) * BLOCK_K
    SURE: gl.constexpr = (GATHERED - EDGE if GATHERED > EDGE else 0) // CHUNK
    free = SURE
    for chunk in gl.static_range(SURE, GATHERED // CHUNK):
        newest = gl.load(slots + ((chunk + 1) * CHUNK - 1) // BLOCK_K)
        free += ((newest + 1) * BLOCK_K <= first - WINDOW + 1).to(gl.int32)
    late = (GATHERED + CHUNK - 1) // CHUNK - free
    low = gl.maximum(SINK, first - WINDOW)
    middle = gl.maximum(0, first - low - 128) // CHUNK
    newest = low + 128 + middle * CHUNK
    masked = (
        late + (SINK % CHUNK + CHUNK - 1) // CHUNK + 128 // CHUNK + gl.maximum(0, gl.cdiv(last + 1 - newest, CHUNK))
    )
    return batch, head, slots, first, last, free, late, low, newest, masked, masked + free + SINK // CHUNK + middle


@gluon.jit
def _copy(
    queries, keys, values, chosen, jobs, first_block, begin, length_k, offset, blocks,
    q_memory, k_memory, v_memory, q_full, q_empty, full, empty,
    HEADS: gl.constexpr, GROUP: gl.constexpr, BLOCK_K: gl.constexpr, SELECTED: gl.constexpr, SINK: gl.constexpr,
    WINDOW: gl.constexpr, CHUNK: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    """The copying warp: queries of every job, then its chunks of keys and values, as shared memory becomes free."""
    BOXES: gl.constexpr = CHUNK // 16
    GATHERED: gl.constexpr = SELECTED * BLOCK_K
    REST: gl.constexpr = (SINK % CHUNK + CHUNK - 1) // CHUNK
    OLDEST: gl.constexpr = 128 // CHUNK
    done = 0
    phase = 0
    for job in range(gl.program_id(0), jobs, gl.num_programs(0)):
        batch, head, slots, first, _last, free, late, low, newest, masked, count = _plan(
            job, chosen, first_block, begin, length_k, blocks, HEADS, GROUP, BLOCK_K, SELECTED, SINK, WINDOW, CHUNK
        )
        mbarrier.wait(q_empty, (phase & 1) ^ 1)
        mbarrier.expect(q_full, 128 * 128 * 2)
        for part in gl.static_range(4):
            row = first - offset + part // 2 * 64
            tma.async_copy_global_to_shared(queries, [batch, head, row, part % 2 * 64], q_full, q_memory.index(part))
        phase += 1  # noqa: SIM113
        head_k = head // GROUP
        for i in range(count):
            stage = done % STAGES
            mbarrier.wait(empty.index(stage), (done // STAGES & 1) ^ 1)
            mbarrier.expect(full.index(stage), CHUNK * 128 * 2 * 2)
            w = i - late - REST
            f = i - masked
            s = f - free
            token = gl.where(w < OLDEST, low + w * CHUNK, newest + (w - OLDEST) * CHUNK)
            token = gl.where(w < 0, SINK // CHUNK * CHUNK, token)
            token = gl.where(s >= 0, s * CHUNK, token)
            token = gl.where(s >= SINK // CHUNK, low + 128 + (s - SINK // CHUNK) * CHUNK, token)
            gathered = (i < late) | ((f >= 0) & (s < 0))
            u = gl.where(f >= 0, f, free + i) * CHUNK
            for box in gl.static_range(BOXES):
                row = token + box * 16
                if SELECTED > 0:
                    place = u + box * 16
                    block = gl.load(slots + place // BLOCK_K, mask=gathered & (place < GATHERED), other=0)
                    row = gl.where(gathered, block * BLOCK_K + place % BLOCK_K, row)
                for panel in gl.static_range(2):
                    at = (stage * 2 + panel) * BOXES + box
                    tma.async_copy_global_to_shared(
                        keys, [batch, head_k, row, panel * 64], full.index(stage), k_memory.index(at)
                    )
                    tma.async_copy_global_to_shared(
                        values, [batch, head_k, row, panel * 64], full.index(stage), v_memory.index(at)
                    )
            done += 1


@gluon.jit
def _compute(
    output, chosen, flags, jobs, first_block, begin, length_k, offset, blocks, scale, sob, soh, sot,
    q_memory, k_memory, v_memory, q_full, q_empty, full, empty,
    PART: gl.constexpr,
    HEADS: gl.constexpr, GROUP: gl.constexpr, BLOCK_K: gl.constexpr, SELECTED: gl.constexpr, SINK: gl.constexpr,
    WINDOW: gl.constexpr, CHUNK: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    """A warp group: half the rows of every job.

    The values of a chunk are added up while the next one's logits and weights are computed.
    """
    GATHERED: gl.constexpr = SELECTED * BLOCK_K
    REST: gl.constexpr = (SINK % CHUNK + CHUNK - 1) // CHUNK
    OLDEST: gl.constexpr = 128 // CHUNK
    LOGITS: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, CHUNK, 16])
    TOTAL: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, 128, 16])
    FLAT: gl.constexpr = gl.NVMMASharedLayout(128, 16, 2)
    STORED: gl.constexpr = gl.BlockedLayout([1, 8], [2, 16], [4, 1], [1, 0])
    ROWS: gl.constexpr = gl.SliceLayout(1, LOGITS)
    k_memory = k_memory._reinterpret(gl.bfloat16, [STAGES, CHUNK, 128], FLAT)
    v_memory = v_memory._reinterpret(gl.bfloat16, [STAGES, CHUNK, 128], FLAT)
    q_memory = q_memory._reinterpret(gl.bfloat16, [2, 64, 128], FLAT)
    n = gl.arange(0, CHUNK, gl.SliceLayout(0, LOGITS))
    done = 0
    phase = 0
    for job in range(gl.program_id(0), jobs, gl.num_programs(0)):
        batch, head, slots, first, last, free, late, low, newest, masked, count = _plan(
            job, chosen, first_block, begin, length_k, blocks, HEADS, GROUP, BLOCK_K, SELECTED, SINK, WINDOW, CHUNK
        )
        position = first + PART * 64 + gl.arange(0, 64, ROWS)
        mbarrier.wait(q_full, phase & 1)
        q = q_memory.index(PART).load(gl.DotOperandLayout(0, LOGITS, 2))
        mbarrier.arrive(q_empty, count=1)
        phase += 1  # noqa: SIM113
        total = gl.zeros([64, 128], gl.float32, TOTAL)
        peak = gl.full([64], -1.0e30, gl.float32, ROWS)
        weight = gl.zeros([64], gl.float32, ROWS)
        none = gl.zeros([64, CHUNK], gl.float32, LOGITS)
        p = gl.zeros([64, CHUNK], gl.bfloat16, gl.DotOperandLayout(0, TOTAL, 2))
        mbarrier.wait(full.index(done % STAGES), done // STAGES & 1)
        for i in range(masked):
            stage = done % STAGES
            before = gl.where(i > 0, done + STAGES - 1, done) % STAGES
            logits = warpgroup_mma(q, k_memory.index(stage).permute((1, 0)), none, use_acc=False, is_async=True)
            total = warpgroup_mma(p, v_memory.index(before), total, is_async=True)
            w = i - late - REST
            token = gl.where(w < OLDEST, low + w * CHUNK, newest + (w - OLDEST) * CHUNK) + n
            since = token
            span = WINDOW
            if REST > 0:
                rest = SINK // CHUNK * CHUNK + n
                since = gl.where(w < 0, gl.where(rest < SINK, 0, 1 << 30), since)
                span = gl.where(w < 0, 1 << 30, span)
            if SELECTED > 0:
                u = (free + i) * CHUNK + n
                block = gl.load(slots + u // BLOCK_K, mask=(i < late) & (u < GATHERED), other=(1 << 29) // BLOCK_K)
                since = gl.where(i < late, block * BLOCK_K + u % BLOCK_K + WINDOW, since)
                span = gl.where(i < late, 1 << 30, span)
            seen = (position[:, None] - since[None, :]).to(gl.uint32) < span
            logits = warpgroup_mma_wait(1, deps=(logits,))
            logits = gl.where(seen, logits, float("-inf"))
            highest = gl.maximum(peak, gl.max(logits, 1) * scale)
            weights = gl.exp2(logits * scale - highest[:, None])
            fade = gl.exp2(peak - highest)
            weight = weight * fade + gl.sum(weights, 1)
            peak = highest
            following = gl.convert_layout(weights.to(gl.bfloat16), gl.DotOperandLayout(0, TOTAL, 2))
            mbarrier.wait(full.index((done + 1) % STAGES), (done + 1) // STAGES & 1, pred=i + 1 < count)
            total, p, following = warpgroup_mma_wait(0, deps=(total, p, following))
            total = total * gl.convert_layout(fade, gl.SliceLayout(1, TOTAL))[:, None]
            mbarrier.arrive(empty.index(before), count=1, pred=i > 0)
            p = following
            done += 1
        for i in range(masked, count):
            stage = done % STAGES
            before = (done + STAGES - 1) % STAGES
            logits = warpgroup_mma(q, k_memory.index(stage).permute((1, 0)), none, use_acc=False, is_async=True)
            total = warpgroup_mma(p, v_memory.index(before), total, is_async=True)
            logits = warpgroup_mma_wait(1, deps=(logits,))
            weights = gl.exp2(logits * scale - peak[:, None])
            weight += gl.sum(weights, 1)
            # Waiting for the next chunk here keeps the compiler from computing weights after the wait for the sum.
            following = gl.convert_layout(weights.to(gl.bfloat16), gl.DotOperandLayout(0, TOTAL, 2))
            mbarrier.wait(full.index((done + 1) % STAGES), (done + 1) // STAGES & 1, pred=i + 1 < count)
            total, p, following = warpgroup_mma_wait(0, deps=(total, p, following))
            mbarrier.arrive(empty.index(before), count=1)
            p = following
            done += 1
        before = (done + STAGES - 1) % STAGES
        total = warpgroup_mma(p, v_memory.index(before), total, is_async=True)
        total, p = warpgroup_mma_wait(0, deps=(total, p))
        mbarrier.arrive(empty.index(before), count=1)
        gl.store(flags + job, 1, mask=gl.max(weight, 0) > 1.0e30)
        total = total / gl.convert_layout(gl.where(weight > 0, weight, 1.0), gl.SliceLayout(1, TOTAL))[:, None]
        row = first + PART * 64 + gl.arange(0, 64, gl.SliceLayout(1, STORED))
        dim = gl.arange(0, 128, gl.SliceLayout(0, STORED))
        at = output + batch.to(gl.int64) * sob + head.to(gl.int64) * soh + (row - offset).to(gl.int64)[:, None] * sot
        result = gl.convert_layout(total.to(output.dtype.element_ty), STORED)
        gl.store(at + dim[None, :], result, mask=(row <= last)[:, None])


@gluon.jit(do_not_specialize=["jobs", "first_block", "begin", "length_k", "offset", "blocks"])
def _attend(
    queries, keys, values, output, chosen, flags, jobs, first_block, begin, length_k, offset, blocks, scale,
    sob, soh, sot,
    HEADS: gl.constexpr, GROUP: gl.constexpr, BLOCK_K: gl.constexpr, SELECTED: gl.constexpr, SINK: gl.constexpr,
    WINDOW: gl.constexpr, CHUNK: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    BOXES: gl.constexpr = STAGES * 2 * CHUNK // 16
    q_memory = gl.allocate_shared_memory(gl.bfloat16, [4, 1, 1, 64, 64], queries.layout)
    k_memory = gl.allocate_shared_memory(gl.bfloat16, [BOXES, 1, 1, 16, 64], keys.layout)
    v_memory = gl.allocate_shared_memory(gl.bfloat16, [BOXES, 1, 1, 16, 64], values.layout)
    q_full = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    q_empty = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    mbarrier.init(q_full, count=1)
    mbarrier.init(q_empty, count=2)
    for i in gl.static_range(STAGES):
        mbarrier.init(full.index(i), count=1)
        mbarrier.init(empty.index(i), count=2)
    gl.warp_specialize(
        [
            (
                _compute,
                (
                    output, chosen, flags, jobs, first_block, begin, length_k, offset, blocks, scale, sob, soh, sot,
                    q_memory, k_memory, v_memory, q_full, q_empty, full, empty,
                    0, HEADS, GROUP, BLOCK_K, SELECTED, SINK, WINDOW, CHUNK, STAGES,
                ),
            ),
            (
                _compute,
                (
                    output, chosen, flags, jobs, first_block, begin, length_k, offset, blocks, scale, sob, soh, sot,
                    q_memory, k_memory, v_memory, q_full, q_empty, full, empty,
                    1, HEADS, GROUP, BLOCK_K, SELECTED, SINK, WINDOW, CHUNK, STAGES,
                ),
            ),
            (
                _copy,
                (
                    queries, keys, values, chosen, jobs, first_block, begin, length_k, offset, blocks,
                    q_memory, k_memory, v_memory, q_full, q_empty, full, empty,
                    HEADS, GROUP, BLOCK_K, SELECTED, SINK, WINDOW, CHUNK, STAGES,
                ),
            ),
        ],
        [4, 1],
        [240, 24],
    )  # fmt: skip
