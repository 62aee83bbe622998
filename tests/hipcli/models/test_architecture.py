"""config.json to an architecture: what is read, what is left to transformers, what is refused by name."""

from typing import Any

import pytest
from hip_attention.rope_config import RopeConfig

from hipcli.errors import HipError
from hipcli.models.architecture import NotOurs, read

LLAMA: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "torch_dtype": "bfloat16", "architectures": ["LlamaForCausalLM"],
}  # fmt: skip
GEMMA = {"model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 6}


def test_a_config_of_transformers_4() -> None:
    found = read({**LLAMA, "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}, "tiny")
    assert (found.layers, found.head_dim, found.kv_heads, found.tied) == (4, 16, 2, False)
    assert found.ropes == (RopeConfig(5e5, "linear", 2.0),) * 4


def test_the_embedded_models_own_keys() -> None:
    extra = {"is_llama_config": True, "rope_interleaved": False, "transformers.js_config": {"dtype": "q4"}}
    assert read({**LLAMA, **extra, "tie_word_embeddings": True}, "tiny").tied


def test_gemma_in_old_words_and_in_new_ones() -> None:
    old = read({**GEMMA, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, "tiny")
    full, local = RopeConfig(1e6, "linear", 8.0), RopeConfig(1e4)
    assert old.ropes == (local,) * 5 + (full,)
    assert old.windows == (4096,) * 5 + (None,)
    ropes = {
        "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    assert read({**GEMMA, "rope_parameters": ropes}, "tiny") == old
    assert read({"model_type": "gemma3", "text_config": GEMMA}, "tiny").sandwich


def test_gemma_as_transformers_fills_in_what_is_not_said() -> None:
    scaled = {"rope_type": "linear", "factor": 8.0}
    full, local = RopeConfig(1e6, "linear", 8.0), RopeConfig(1e4)
    for sliding in ({"sliding_attention": {"rope_type": "default"}}, {}):
        found = read({**GEMMA, "rope_theta": 1e6, "rope_parameters": {"full_attention": scaled, **sliding}}, "tiny")
        assert found.ropes == (local,) * 5 + (full,)
    own = read({**GEMMA, "rope_local_base_freq": 5e3, "rope_parameters": {"full_attention": scaled}}, "tiny")
    assert own.ropes == (RopeConfig(5e3),) * 5 + (full,)
    assert read({**GEMMA, "sliding_window_pattern": 2}, "tiny").windows == (4096, None) * 3
    assert read({**GEMMA, "_sliding_window_pattern": 2}, "tiny") == read(GEMMA, "tiny"), "transformers ignores it"


def test_rope_scaling_goes_before_rope_parameters() -> None:
    parameters = {"rope_type": "default", "rope_theta": 5e5}
    both = {**LLAMA, "rope_parameters": parameters, "rope_scaling": {"type": "linear", "factor": 2.0}}
    assert read(both, "tiny").ropes[0] == RopeConfig(1e4, "linear", 2.0)
    assert read({**both, "rope_theta": 1e6}, "tiny").ropes[0] == RopeConfig(1e6, "linear", 2.0)
    assert read({**both, "rope_scaling": {}}, "tiny").ropes[0] == RopeConfig(5e5)


def test_windows_by_layer() -> None:
    mistral = {**LLAMA, "model_type": "mistral"}
    assert read(mistral, "tiny").windows == (4096,) * 4, "as transformers takes it where the key is absent"
    assert read({**mistral, "sliding_window": None}, "tiny").windows == (None,) * 4
    qwen = {**LLAMA, "model_type": "qwen2", "sliding_window": 32, "max_window_layers": 3}
    assert read(qwen, "tiny").windows == (None,) * 4
    assert read({**qwen, "use_sliding_window": True}, "tiny").windows == (None, None, None, 32)
    kinds = ["sliding_attention", "full_attention"] * 2
    assert read({**qwen, "layer_types": kinds}, "tiny").windows == (32, None, 32, None)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"attention_multiplier": 0.5}, "'attention_multiplier'"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "phase": 1}}, "'phase'"),
        ({"clip_qkv": 8}, "'clip_qkv'"),
        ({"is_causal": False}, "'is_causal'"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": "four"}}, "factor"),
        ({"head_dim": -4}, "head_dim"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"rope_scaling": "linear"}, "rope_scaling"),
        ({"rope_scaling": [1]}, "rope_scaling"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": None}}, "factor"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": "x"}}, "attention_factor"),
        ({"model_type": "mistral", "sliding_window": "x"}, "sliding_window"),
        ({"model_type": "mistral", "sliding_window": -5}, "sliding_window"),
        ({"model_type": "mistral", "sliding_window": 0}, "sliding_window"),
        ({"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": None}, "max_window_layers"),
        ({"model_type": "gemma3_text", "query_pre_attn_scalar": None}, "query_pre_attn_scalar"),
        ({"model_type": "gemma3_text", "query_pre_attn_scalar": 0}, "query_pre_attn_scalar"),
        ({"model_type": "gemma3_text", "rope_parameters": {"rope_type": "default"}}, "rope_parameters.*'rope_type'"),
        ({"model_type": "gemma3_text", "rope_parameters": {"full_attention": "x"}}, "'full_attention'"),
        ({"model_type": "gemma3_text", "rope_parameters": "x"}, "rope_parameters"),
        ({"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 8}, "layer_types"),
        ({"logits_scaling": 0}, "'logits_scaling'"),
        ({"logits_scaling": 0.0}, "'logits_scaling'"),
    ],
)
def test_what_is_not_known_or_not_usable_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(HipError, match=named):
        read({**LLAMA, **change}, "tiny")


@pytest.mark.parametrize("empty", [None, False, "", [], {}])
def test_a_key_that_is_set_to_nothing_changes_nothing(empty: object) -> None:
    assert read({**LLAMA, "some_new_feature": empty}, "tiny") == read(LLAMA, "tiny")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model_type": "granite"}, "granite models are run by transformers"),
        ({"hidden_act": "relu"}, "relu"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic"),
        ({"rope_interleaved": True}, "rope_interleaved"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "a part of"),
        ({"layer_types": ["full_attention", "linear_attention"] * 2}, "other types"),
        ({"model_type": "gemma3_text", "final_logit_softcapping": 30.0}, "final_logit_softcapping"),
    ],
)
def test_what_is_left_to_transformers(change: dict[str, Any], why: str) -> None:
    with pytest.raises(NotOurs, match=why):
        read({**LLAMA, **change}, "tiny")
