"""What the self-check must find: a model or a cache that is broken in one way, from the shell's point of view."""

import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hip_attention.attention
import hip_attention.cache.decode
import hip_attention.cache.layer
import hip_attention.transformers
import pytest
import torch
from hip_attention.cache.cache import Cache
from hip_attention.cache.int8 import Codes
from hip_attention.cache.key_values import KeyValues
from hip_attention.rope import Rope
from hip_attention.torch_backend import select as torch_select
from transformers import AttentionInterface

from hipcli.models.decoder import Decoder
from hipcli.models.plugin import PluginModel
from hipcli.models.weights import Weights

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model that the own decoder runs, and one that transformers runs."""
    made = {name: tmp_path_factory.mktemp(name) for name in ("qwen3", "olmo2")}
    for family, folder in made.items():
        TINY["save_model"](folder, family)
    return made


@pytest.fixture
def ask(hip: Run, folders: dict[str, Path], note: Path) -> Callable[..., Any]:
    def run(family: str, *options: str) -> Any:
        # A random model says what it says: a single token is no answer that could be told from none.
        return hip(
            "ask", "-m", folders[family], "--dtype", "float32", "--device", "cpu", "-n", "2", "-q", "Why?", *options,
            note,
        )  # fmt: skip

    return run


def cache_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention to the tokens of the same forward pass alone, which stores nothing."""

    def attend(self: Cache, layer: int, query: Any, key: Any, value: Any, step: Any, *, scale: float, **_: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=True
        )

    monkeypatch.setattr(Cache, "attend", attend)


def rope_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions that are one too large from the second chunk on."""
    apply = Rope.apply
    monkeypatch.setattr(
        Rope, "apply", lambda self, x, start, out=None: apply(self, x, start + (start > 0), out)
    )  # fmt: skip


def layers_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed-forward layers of two layers, exchanged."""
    begin = Decoder.__init__

    def swapped(self: Decoder, *arguments: Any) -> None:
        begin(self, *arguments)
        first, second = self._layers[:2]
        first._feed_forward, second._feed_forward = second._feed_forward, first._feed_forward

    monkeypatch.setattr(Decoder, "__init__", swapped)


def block_short_in_prefill(monkeypatch: pytest.MonkeyPatch) -> None:
    select = torch_select.select
    monkeypatch.setattr(hip_attention.attention.torch_select, "select", lambda *given: select(*given)[..., 1:])


def block_short_in_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    select = torch_select.select
    monkeypatch.setattr(hip_attention.cache.decode, "select", lambda *given: select(*given)[..., 1:])


def wrong_scale_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """One product of one layer, as if its scales had been read wrongly."""
    linear = Weights.linear

    def scaled(self: Weights, parts: Any, inputs: int, bias: bool) -> Any:
        found = linear(self, parts, inputs, bias)
        return (lambda x: 1.25 * found(x)) if "layers.1.mlp.down" in parts[0][0] else found

    monkeypatch.setattr(Weights, "linear", scaled)


def wrong_scale_of_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and values that come back from their codes a quarter too large."""
    decode = Codes.decode
    monkeypatch.setattr(Codes, "decode", lambda self, out: decode(self, out).mul_(1.25))


def dense_rows_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense layers and questions that get half of what attention gives."""
    dense = hip_attention.cache.layer.dense_attention
    monkeypatch.setattr(hip_attention.cache.layer, "dense_attention", lambda *given: dense(*given) / 2)


def restored_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and values that come back from a session half as large."""
    restore = KeyValues.restore

    def half(self: KeyValues, tokens: dict[str, torch.Tensor]) -> None:
        restore(self, {name: tensor / 2 for name, tensor in tokens.items()})

    monkeypatch.setattr(KeyValues, "restore", half)


def nothing_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that stays as long as it is when it is cut back."""
    monkeypatch.setattr(Cache, "truncate", lambda self, length: None)


SABOTAGE = [
    cache_ignored, rope_off_by_one, layers_swapped, block_short_in_prefill, block_short_in_decode,
    wrong_scale_of_weights, dense_rows_halved, restored_halved, nothing_forgotten,
]  # fmt: skip


def refused(done: Any, *named: str) -> None:
    """One line that has one of these in it, a hint, exit status 1, and nothing on standard output."""
    assert (done.code, done.out) == (1, "")
    error, hint = done.err.splitlines()
    assert error.startswith("hip: error: ") and hint.startswith("hint: ")
    assert any(name in error for name in named), error


@pytest.mark.parametrize("family", ["qwen3", "olmo2"])
def test_a_sound_model_passes(ask: Callable[..., Any], family: str) -> None:
    done = ask(family, "-v")
    assert (done.code, "self-check: passed" in done.err) == (0, True), done.err
    assert ("model: decoder" in done.err) == (family == "qwen3")


@pytest.mark.parametrize("break_it", SABOTAGE)
def test_a_broken_decoder_says_one_line_and_no_answer(
    ask: Callable[..., Any], break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    refused(ask("qwen3"), "the self-check failed", "keys and values are not those of the text")


def test_integers_with_a_wrong_scale(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("qwen3", "--kv-cache", "int8").code == 0
    wrong_scale_of_integers(monkeypatch)
    refused(ask("qwen3", "--kv-cache", "int8"), "the self-check failed: keys of layer", "values of layer")


@pytest.mark.parametrize("break_it", [cache_ignored, block_short_in_prefill, block_short_in_decode])
def test_a_broken_plugin_says_one_line_and_no_answer(
    ask: Callable[..., Any], break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    refused(ask("olmo2"), "the self-check failed", "do not let their attention be replaced")


@pytest.fixture
def plugin() -> Any:
    """Sets the attention function that models of transformers call, until the test is over."""
    yield lambda function: AttentionInterface.register("hip", function)
    AttentionInterface.register("hip", hip_attention.transformers.hip_attention_forward)


def test_a_keyword_that_transformers_does_not_pass_on(ask: Callable[..., Any], plugin: Any) -> None:
    """As transformers 5.24 did with the cache: a chunk then sees itself alone."""

    def renamed(*arguments: Any, hip: Any = None, **others: Any) -> Any:
        return hip_attention.transformers.hip_attention_forward(*arguments, **others)

    plugin(renamed)
    refused(ask("olmo2"), "do not let their attention be replaced")


def test_a_keyword_that_is_new(ask: Callable[..., Any], plugin: Any) -> None:
    def more(*arguments: Any, **others: Any) -> Any:
        return hip_attention.transformers.hip_attention_forward(*arguments, temperature=0.5, **others)

    plugin(more)
    refused(ask("olmo2"), "'temperature'")


def test_positions_that_are_off(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = PluginModel._inputs

    def shifted(self: PluginModel, ids: Any, cache: Any, step: Any) -> dict[str, Any]:
        given = inputs(self, ids, cache, step)
        return {**given, "position_ids": given["position_ids"] + (step.start > 0)}

    monkeypatch.setattr(PluginModel, "_inputs", shifted)
    refused(ask("olmo2"), "the self-check failed: keys of layer 0")


def test_keys_of_another_shape_are_an_error_that_is_known(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = PluginModel.reference

    def other(self: PluginModel, *arguments: Any) -> Any:
        found = reference(self, *arguments)
        return replace(found, keys=[torch.cat([key, key[:1]]) for key in found.keys])

    monkeypatch.setattr(PluginModel, "reference", other)
    refused(ask("olmo2"), "the self-check failed: keys of layer 0 are [2, 34, 32], not [3, 34, 32]")
