"""Models on disk to models in memory, by decoder and plug-in; what is refused, in one line."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from hip_attention.config import HipConfig
from reloaded import CPU, load, save
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration

import hipcli.models.load
from hipcli.engine.prefill import Context
from hipcli.engine.self_check import CacheKind, check_model, self_check
from hipcli.errors import ExitCode, HipError
from hipcli.models.decoder import Decoder
from hipcli.models.language_model import LoadedModel
from hipcli.models.load import load_model
from hipcli.models.resolve import ModelSource, resolve, shape
from hipcli.prompt.tokenizer import load_tokenizer

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
make_model = TINY["make_model"]
IDS = torch.arange(40) + 7
# Families that transformers runs: norms after attention, a factor for logits, experts, one half of a head rotated.
OTHERS: dict[str, dict[str, Any]] = {
    "olmo2": {},
    "granite": {"logits_scaling": 3.0, "attention_multiplier": 0.2, "residual_multiplier": 0.5},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "phi": {"partial_rotary_factor": 0.5},
    "jetmoe": {"num_local_experts": 4, "num_experts_per_tok": 2, "kv_channels": 16},
    "smollm3": {"no_rope_layers": [1, 0]},
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def last_logits(loaded: LoadedModel) -> torch.Tensor:
    """Logits [1, vocabulary] after IDS, read in two chunks and a token."""
    context = Context(loaded.model, HipConfig(block_q=8, block_k=4), len(IDS), chunk_tokens=16)
    list(context.fill(IDS[:-1].tolist()))
    return context.decode(int(IDS[-1]))


class TestLoading:
    @pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral", "gemma3_text", *OTHERS])
    def test_every_family_is_loaded_and_checked(self, family: str, tmp_path: Path, capfd: Any) -> None:
        model = make_model(family, **OTHERS.get(family, {}))
        model.set_attn_implementation("eager")
        source = save(model, tmp_path)
        capfd.readouterr()
        loaded = load(source)
        assert capfd.readouterr() == ("", "")
        assert loaded.implementation == ("transformers" if family in OTHERS else "decoder")
        context = Context(loaded.model, HipConfig())
        list(context.fill([7]))
        sizes = shape(source)
        stored = context.export(0, 1)
        assert (
            sum(x.numel() for layer in stored for x in layer.values())
            == 2 * sizes.layers * sizes.kv_heads * sizes.head_dim
        )
        self_check(loaded, IDS.tolist(), CacheKind(HipConfig()))
        with torch.inference_mode():
            expected = model(IDS[None], use_cache=False).logits[0, -1:]
        torch.testing.assert_close(last_logits(loaded), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("family", ["llama", "olmo2"])
    def test_a_tokenizer_of_another_model_is_found_by_the_self_check(self, family: str, tmp_path: Path) -> None:
        folder = TINY["save_model"](tmp_path, family, tie_word_embeddings=True, vocab_size=60)
        source = resolve(str(folder))
        with pytest.raises(HipError, match="beyond the 60 that the weights know: the model's tokenizer and weights"):
            check_model(load(source), load_tokenizer(source.name, folder), [CacheKind(HipConfig())])

    def test_freed_memory_is_kept_for_whoever_loads(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = []
        monkeypatch.setattr(hipcli.models.load, "keep_freed_memory", lambda: kept.append(True))
        load(save(make_model("llama"), tmp_path))
        assert kept

    @pytest.mark.parametrize("tied", [True, False])
    def test_text_part_of_multimodal_gemma(self, tied: bool, tmp_path: Path) -> None:
        text = make_model("gemma3_text", tie_word_embeddings=tied).config
        vision = {
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 28, "patch_size": 14,
        }  # fmt: skip
        config = Gemma3Config(
            text_config=text.to_dict(), vision_config=vision, mm_tokens_per_image=4, tie_word_embeddings=tied
        )
        model = Gemma3ForConditionalGeneration(config).eval()
        source = resolve(str(save(model, tmp_path).path))
        assert shape(source).layers == 6
        with torch.inference_mode():
            expected = model(IDS[None], token_type_ids=torch.zeros_like(IDS)[None]).logits[0, -1:]
        torch.testing.assert_close(last_logits(load(source)), expected, rtol=1e-4, atol=1e-4)

    def test_gguf_to_answers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HIPCLI_CACHE_DIR", str(tmp_path / "cache"))
        model = make_model("qwen3")
        source = resolve(str(TINY["write_gguf"](tmp_path / "m.gguf", model, pre="qwen2")))
        with torch.inference_mode():
            expected = model(IDS[None], use_cache=False).logits[0, -1:]
        torch.testing.assert_close(last_logits(load(source)), expected, rtol=1e-4, atol=1e-4)
        assert load_tokenizer("m", source.path).encode("12", control=False)

    def test_tokens_that_end_an_answer_come_from_both_configurations(self, tmp_path: Path) -> None:
        source = save(make_model("llama"), tmp_path)
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 6]}))
        assert load(source).stops == {2, 5, 6}

    def test_and_of_a_multimodal_model_from_three(self, tmp_path: Path) -> None:
        source = save(make_model("gemma3_text", eos_token_id=7), tmp_path)
        text = json.loads((tmp_path / "config.json").read_text())
        wrapper = {"model_type": "gemma3", "eos_token_id": [1, 106], "text_config": text}
        (tmp_path / "config.json").write_text(json.dumps(wrapper))
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 5}))
        assert load(source).stops == {1, 5, 7, 106}

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_a_head_of_its_own_wins_over_a_config_that_says_tied(self, dtype: torch.dtype, tmp_path: Path) -> None:
        model = make_model("llama")
        loaded = load(save(model, tmp_path, tie_word_embeddings=True), dtype)
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        assert torch.equal(theirs.lm_head.weight, model.lm_head.weight)
        with torch.inference_mode():
            expected = model(IDS[None], use_cache=False).logits[0, -1:]
            again = loaded.reference(IDS, None).logits[-1:]
        within = 1e-4 if dtype == torch.float32 else 0.05 * float(expected.norm())
        torch.testing.assert_close(last_logits(loaded), expected, rtol=within, atol=within)
        torch.testing.assert_close(again, expected, rtol=within, atol=within)

    def test_a_tied_head_is_the_embedding(self, tmp_path: Path) -> None:
        source = save(make_model("llama", tie_word_embeddings=True), tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        for copies in ({}, {"lm_head.weight": weights["model.embed_tokens.weight"].clone()}):
            save_file(weights | copies, tmp_path / "model.safetensors", {"format": "pt"})
            decoder = load(source).model
            assert isinstance(decoder, Decoder)
            assert decoder._head._weight is decoder._embedding

    @pytest.mark.parametrize("option", [{"int8": True}, {"config": HipConfig(packed_from=64)}])
    def test_the_plugin_refuses_what_it_lacks(self, option: dict[str, Any], tmp_path: Path) -> None:
        loaded = load(save(make_model("olmo2"), tmp_path))
        with pytest.raises(ValueError, match="neither packed nor stretched"):
            loaded.model.make_cache(**({"config": HipConfig()} | option))


class TestRefusals:
    def test_a_family_that_slides_by_a_mask_alone(self, tmp_path: Path) -> None:
        model = make_model("phimoe", sliding_window=40, num_local_experts=4)
        with pytest.raises(HipError, match=r"sliding windows are \[40, 40\], and attention is told \[None, None\]"):
            load(save(model, tmp_path))

    def test_a_family_that_slides_as_it_says(self, tmp_path: Path) -> None:
        assert load(save(make_model("starcoder2", sliding_window=40), tmp_path)).model.windows == [40, 40]

    def test_missing_weights_are_not_made_up(self, tmp_path: Path) -> None:
        for family in ("llama", "olmo2"):
            source = save(make_model(family), tmp_path / family)
            file = source.path / "model.safetensors"
            weights = load_file(file)
            del weights["model.layers.1.mlp.up_proj.weight"]
            save_file(weights, file, {"format": "pt"})
            with pytest.raises(HipError, match=r"missing.* such as model\.layers\.1\.mlp\.up_proj\.weight"):
                load(source)

    def test_weights_that_nobody_asked_for(self, tmp_path: Path) -> None:
        source = save(make_model("llama"), tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        weights["model.layers.0.self_attn.sinks"] = torch.zeros(4)
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(HipError, match=r"1 weights that its config.json does not explain.*sinks"):
            load(source)

    def test_cut_off_weights(self, tmp_path: Path) -> None:
        source = save(make_model("llama"), tmp_path)
        path = tmp_path / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(HipError, match=r"tiny: model.safetensors cannot be loaded: "):
            load(source)

    @pytest.mark.parametrize(("key", "value"), [("intermediate_size", 32), ("head_dim", 16), ("vocab_size", 300)])
    def test_weights_of_another_shape(self, key: str, value: int, tmp_path: Path) -> None:
        with pytest.raises(HipError, match=r"tiny: model\..* is \(.*\) in float32, not \("):
            load(save(make_model("llama"), tmp_path, **{key: value}))

    def test_a_key_that_is_not_known(self, tmp_path: Path) -> None:
        with pytest.raises(HipError, match="'attention_temperature', which hip does not know"):
            load(save(make_model("llama"), tmp_path, attention_temperature=0.5))

    def test_numbers_that_are_none(self, tmp_path: Path) -> None:
        model = make_model("llama")
        with torch.no_grad():
            model.model.norm.weight[0] = float("nan")
        loaded = load(save(model, tmp_path))
        with pytest.raises(HipError, match="the self-check failed: logits are off by nan"):
            self_check(loaded, IDS.tolist(), CacheKind(HipConfig()))

    @pytest.mark.parametrize(
        ("family", "settings", "message"),
        [
            ("bloom", {"n_layer": 1, "n_head": 2, "hidden_size": 16, "vocab_size": 64}, "do not let their attention"),
            (
                "falcon",
                {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16},
                "do not let their attention",
            ),
            (
                "gemma2",
                {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "vocab_size": 64},
                "softcap",
            ),
        ],
    )
    def test_attention_that_cannot_be_replaced(
        self, family: str, settings: dict[str, Any], message: str, tmp_path: Path
    ) -> None:
        source = save(AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings)), tmp_path)
        with pytest.raises(HipError, match=message):
            self_check(load(source), [1, 2, 3], CacheKind(HipConfig()))

    def test_attention_that_is_ignored(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A family that accepts the name and goes on with its own attention."""
        from transformers.models.olmo2 import modeling_olmo2

        ignoring = type("Ignoring", (), {"get_interface": lambda *_: modeling_olmo2.eager_attention_forward})
        monkeypatch.setattr(modeling_olmo2, "ALL_ATTENTION_FUNCTIONS", ignoring())
        with pytest.raises(HipError, match="olmo2 models do not let their attention be replaced"):
            load(save(make_model("olmo2"), tmp_path))

    @pytest.mark.parametrize("family", ["llama", "olmo2"])
    def test_code_of_a_repository_is_never_run(self, family: str, tmp_path: Path) -> None:
        source = save(make_model(family), tmp_path)
        marker = tmp_path / "ran"
        (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
        config = json.loads((tmp_path / "config.json").read_text())
        code = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model", "AutoTokenizer": ["evil.T", None]}
        (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": code}))
        assert load(source).implementation
        (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "evil", "auto_map": code}))
        with pytest.raises(HipError, match="which hip never runs"):
            load(source)
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": code}))
        with pytest.raises(HipError, match="its tokenizer cannot be loaded"):
            load_tokenizer("tiny", tmp_path)
        assert not marker.exists()

    def test_unknown_family(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama9"}))
        with pytest.raises(HipError, match="llama9") as caught:
            load(ModelSource("tiny", tmp_path, ""))
        assert "update transformers" in (caught.value.hint or "")

    @pytest.mark.parametrize("content", [None, "{", '{"version": "1.0"}'])
    def test_tokenizer(self, content: str | None, tmp_path: Path) -> None:
        save(make_model("llama"), tmp_path)
        if content is not None:
            (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(HipError, match="tiny: its tokenizer cannot be loaded: ") as caught:
            load_tokenizer("tiny", tmp_path)
        assert "\n" not in caught.value.message

    def test_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 16.00 GiB")

        monkeypatch.setattr(hipcli.models.load, "_load_decoder", full)
        with pytest.raises(HipError, match="does not fit on this machine") as caught:
            load(save(make_model("llama"), tmp_path))
        assert caught.value.exit_code == ExitCode.DOES_NOT_FIT


@pytest.mark.model
def test_embedded_model_writes_text() -> None:
    source = resolve(None)
    tokenizer = load_tokenizer(source.name, source.path)
    loaded = load_model(source, CPU, torch.float32)  # in bfloat16 the first token is a tie
    text = tokenizer.render([{"role": "user", "content": "What is the capital of France?"}])
    context = Context(loaded.model, HipConfig())
    row, answer = context.next_logits(tokenizer.encode(text, control=True)), []
    for _ in range(12):
        answer.append(int(row.argmax()))
        row = context.decode(answer[-1])
    assert "Paris" in tokenizer.decode(answer)
