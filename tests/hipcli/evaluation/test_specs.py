"""SPEC texts, right and wrong."""

import pytest
from hip_attention import HipConfig

from hipcli.errors import ExitCode, HipError
from hipcli.evaluation.specs import parse, tokens


def test_plain_names_are_the_defaults() -> None:
    assert parse("hip").config == HipConfig()
    assert parse("dense").config.backend == "dense"
    assert parse("representative-first").config.selector == "representative-first"
    assert parse("hip").attention() is None
    assert parse("quest").attention() is not None
    assert parse("yarn:factor=1.5").yarn == 1.5
    assert parse("dense").settings() == {"method": "dense", "yarn": None, "backend": "dense"}
    stretched = parse("hip:top_k=2048,factor=4")
    assert (stretched.yarn, stretched.config) == (4, parse("hip:top_k=2048").config)
    coded = parse("hip:kv_cache=int8,top_k=2048")
    assert (coded.int8, coded.config) == (True, parse("hip:top_k=2048").config)
    assert coded.settings() == parse("hip:top_k=2048").settings() | {"kv_cache": "int8"}
    assert parse("hip:kv_cache=full").settings() == parse("hip").settings(), "results that are stored stay valid"


def test_fields_are_typed() -> None:
    config = parse("hip:top_k=2k,selector=representative,packed_from=8k,backend=torch").config
    assert config == HipConfig(top_k=2048, selector="representative", packed_from=8192, backend="torch")


def test_streaming_sees_as_many_keys() -> None:
    assert parse("streaming:top_k=2048,window=256").config == HipConfig(top_k=0, window=2304)


def test_baselines_ask_every_row_unless_told_otherwise() -> None:
    assert parse("oracle").config.query_stride == 1
    assert parse("oracle:query_stride=4").config.query_stride == 4


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("flash", "flash"),
        ("hip:topk=4", "topk"),
        ("hip:top_k", "FIELD=VALUE"),
        ("hip:top_k=many", "many"),
        ("hip:top_k=7", "multiple of block_k"),
        ("dense:top_k=512", "top_k"),
        ("yarn", "factor"),
        ("yarn:factor=x", "factor"),
        ("dense:factor=2", "factor"),
        ("dense:kv_cache=int8", "kv_cache"),
        ("hip:kv_cache=int4", "int4"),
        ("hip:factor=x", "factor"),
        ("quest:packed_from=8k", "packed"),
    ],
)
def test_faults_are_named(text: str, named: str) -> None:
    with pytest.raises(HipError) as caught:
        parse(text)
    assert named in caught.value.message
    assert caught.value.exit_code == ExitCode.USAGE


def test_numbers_of_tokens() -> None:
    assert tokens("8k") == 8192
    with pytest.raises(HipError):
        tokens("8kk")
