"""What a plan says of a run, and that caches do just that."""

from dataclasses import replace
from typing import Any

import hip_attention.attention
import jsonschema
import pytest
import small_config
import torch
from hip_attention.cache.layer import LayerCache
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn
from schemas import schema
from small_layers import feed, small_rope, tensors

from hipcli.planning.plan import Execution, Plan, backend_of, rows_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")
HIP, DENSE = HipConfig(), HipConfig(backend="dense")
FREE = Execution("decoder", "it is ours", None, None, "triton", "sparse", None, None, 0.25, 30, 7, 0)


def plan(prompt: int, answer: int = 512, hip: HipConfig = HIP, **changes: Any) -> Plan:
    return Plan("hip", hip, prompt, prompt + answer, **changes)


def test_a_context_that_outgrows_min_context_is_read_sparsely_from_its_start() -> None:
    short, long = plan(3584), plan(3585)
    assert (short.prefill, short.decode) == (HIP, HIP.of_decode)
    assert long.prefill == replace(HIP, min_context=0)
    assert long.decode == replace(HIP, min_context=0, top_k=2048, selector="summary")
    assert plan(9000, hip=replace(HIP, packed_from=8192)).decode.top_k == 1024


@pytest.mark.parametrize(
    ("given", "positions", "factor"),
    [
        (plan(9000), "exact", 1),
        (plan(9000, hip=replace(HIP, packed_from=8192)), "packed", 1),
        (plan(9000, yarn=Yarn(2, 8192)), "yarn", 2),
    ],
)
def test_positions(given: Plan, positions: str, factor: float) -> None:
    assert (given.positions, given.yarn_factor) == (positions, factor)


@pytest.mark.parametrize(
    ("given", "device", "because"),
    [
        (plan(100_000, hip=DENSE), CPU, "--attention dense"),
        (plan(3584), CPU, "3,584 tokens, and rows see 4,096 keys anyway"),
        (plan(3585), CPU, None),
        (plan(1600, 4000), CPU, "1,600 tokens, and rows see 1,600 keys anyway"),
        (plan(1601, 4000), CPU, None),
        (plan(8000), GPU, "faster on this device at this length"),
        (plan(8000, hip=replace(HIP, backend="torch")), GPU, None),
        (plan(8000, hip=replace(HIP, packed_from=0)), GPU, None),
        (plan(20_000), GPU, None),
    ],
)
def test_rows_are_dense_for_a_reason(given: Plan, device: torch.device, because: str | None) -> None:
    if device.type == "cuda":
        pytest.importorskip("triton")
    assert rows_of(given, device) == ("sparse" if because is None else "dense", because)


def test_the_backend_is_that_of_the_device() -> None:
    pytest.importorskip("triton")
    kinds = (DENSE, CPU), (HIP, CPU), (HIP, GPU), (replace(HIP, backend="torch"), GPU)
    assert [backend_of(plan(9000, hip=hip), device) for hip, device in kinds] == ["dense", "torch", "triton", "torch"]


@pytest.mark.parametrize("changes", [{}, {"min_context": 70}, {"packed_from": 60}, {"top_k": 0}, {"backend": "dense"}])
@pytest.mark.parametrize("answer", [2, 8, 40])
@pytest.mark.parametrize("prompt", [40, 56, 57, 64, 71, 96])
def test_a_cache_does_what_the_plan_says(
    prompt: int, answer: int, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = plan(prompt, answer, replace(small_config.SPARSE, question="sparse", **changes))
    searched = []
    for place in ("attention", "cache.layer"):
        rows = hip_attention.attention.sparse_rows
        monkeypatch.setattr(f"hip_attention.{place}.sparse_rows", lambda *a, r=rows: searched.append(0) or r(*a))
    config = given.prefill
    cache = LayerCache(config, given.capacity, small_rope(), dense=config.backend == "dense")
    states = tensors(given.capacity)
    feed(cache, *states, 0, prompt)
    assert bool(searched) == (rows_of(given, CPU)[0] == "sparse")
    for start in range(prompt, given.capacity - 1):
        feed(cache, *states, start, start + 1)
    assert (cache.decode.working_set is not None) == given.answers_sparsely


SPARSE_ROWS = "documents: summary-exact by triton, top_k=1024 sink=64 window=512"
ANSWER = "answer: summary, top_k=%d window=512, selected again every 8 tokens"
LAYERS = "layers: 30; %d of them read all keys, %d the latest ones"
DENSE_ROWS = {"rows": "dense", "dense_because": "faster", "eager_because": "no"}


@pytest.mark.parametrize(
    ("given", "changes", "expected"),
    [
        (plan(20_000), {}, [SPARSE_ROWS, LAYERS % (7, 0), ANSWER % 2048, "decode: CUDA graphs"]),
        (
            plan(8000),
            DENSE_ROWS,
            ["documents: all keys (faster)", LAYERS % (7, 0), ANSWER % 2048, "decode: eager (no)"],
        ),
        (
            plan(8000),
            {**DENSE_ROWS, "dense_layers": 2, "sliding_layers": 28},
            ["documents: all keys (faster)", LAYERS % (2, 28), "decode: eager (no)"],
        ),
        (
            plan(20_000, hip=replace(HIP, top_k=0)),
            {"dense_layers": 0},
            [
                "documents: nothing but sink and window by triton, top_k=0 sink=64 window=512",
                "answer: nothing but sink and window, top_k=0 window=512",
                "decode: CUDA graphs",
            ],
        ),
        (plan(100), DENSE_ROWS, ["documents: all keys (faster)", "decode: eager (no)"]),
        (
            plan(9000, hip=replace(HIP, packed_from=8192)),
            {"dense_layers": 0},
            [SPARSE_ROWS, ANSWER % 1024, "positions: packed from 8,192", "decode: CUDA graphs"],
        ),
        (
            plan(9000, hip=DENSE, yarn=Yarn(2, 8192)),
            DENSE_ROWS,
            ["documents: all keys (faster)", "positions: stretched 2 times", "decode: eager (no)"],
        ),
    ],
)
def test_attention_that_ran_is_told(given: Plan, changes: dict[str, Any], expected: list[str]) -> None:
    execution = replace(FREE, **changes)
    assert execution.lines(given)[3:] == expected
    told = execution.as_json(given)
    jsonschema.validate(told, schema("answer.schema.json")["properties"]["attention"])
    assert (told["prefill"] is None) == (execution.rows == "dense")
    assert (told["decode"] is None) == (not any(line.startswith("answer: ") for line in expected))


def test_what_was_given_up_is_told() -> None:
    assert FREE.lines(plan(100))[:3] == [
        "model: decoder (it is ours); weights packed",
        "tokenizer: tokenizers",
        "self-check: passed in 0.25 s",
    ]
    other = replace(
        FREE,
        implementation="transformers",
        implementation_because="it is phi",
        unpacked_because="of it",
        tokenizer_because="t",
    )
    assert other.lines(plan(100))[:2] == ["model: transformers (it is phi); weights not packed: of it", "tokenizer: t"]
