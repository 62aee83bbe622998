import json
import runpy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration

import hipcli.models.load
from hipcli.errors import ExitCode, HipError
from hipcli.models.load import choose_device, choose_dtype, load_model, load_tokenizer
from hipcli.models.resolve import ModelSource, resolve, shape

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
make_model = TINY["make_model"]
IDS = torch.arange(40)[None] + 7


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def saved(model, folder):
    model.save_pretrained(folder)
    return ModelSource("tiny", folder, "")


def load(source, **options):
    return load_model(source, **({"device": "cpu", "dtype": "float32"} | options))


def logits(model, **options):
    with torch.inference_mode():
        return model(IDS, use_cache=False, **options).logits


class TestLoad:
    @pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral", "gemma3_text"])
    def test_supported_families(self, family, tmp_path, capfd):
        model = make_model(family)
        model.set_attn_implementation("eager")
        source = saved(model, tmp_path)
        capfd.readouterr()
        loaded = load(source)
        assert capfd.readouterr() == ("", "")
        assert loaded.config._attn_implementation == "hip"
        assert not loaded.training
        assert loaded.dtype == torch.float32
        torch.testing.assert_close(logits(loaded), logits(model), rtol=1e-4, atol=1e-4)

    def test_types_and_attention_as_asked(self, tmp_path):
        loaded = load(saved(make_model("llama"), tmp_path), dtype="bfloat16", attention="sdpa")
        assert loaded.dtype == torch.bfloat16
        assert loaded.config._attn_implementation == "sdpa"

    def test_freed_memory_is_kept_for_whoever_loads(self, tmp_path, monkeypatch):
        kept = []
        monkeypatch.setattr(hipcli.models.load, "keep_freed_memory", lambda: kept.append(True))
        load(saved(make_model("llama"), tmp_path))
        assert kept

    @pytest.mark.parametrize("tied", [True, False])
    def test_text_part_of_multimodal_gemma(self, tied, tmp_path):
        text = make_model("gemma3_text", tie_word_embeddings=tied).config
        vision = {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        }
        config = Gemma3Config(
            text_config=text.to_dict(), vision_config=vision, mm_tokens_per_image=4, tie_word_embeddings=tied
        )
        model = Gemma3ForConditionalGeneration(config).eval()
        source = resolve(str(saved(model, tmp_path).path))
        assert shape(source).layers == 6
        loaded = load(source)
        assert type(loaded).__name__ == "Gemma3ForCausalLM"
        expected = logits(model, token_type_ids=torch.zeros_like(IDS))
        torch.testing.assert_close(logits(loaded), expected, rtol=1e-4, atol=1e-4)

    def test_gguf_to_answers(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HIPCLI_CACHE_DIR", str(tmp_path / "cache"))
        model = make_model("qwen3")
        source = resolve(str(TINY["write_gguf"](tmp_path / "m.gguf", model, pre="qwen2")))
        assert torch.allclose(logits(load(source)), logits(model), atol=1e-4)
        assert load_tokenizer(source)("12").input_ids


class TestRefusals:
    def test_missing_weights_are_not_made_up(self, tmp_path):
        source = saved(make_model("llama"), tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        del weights["model.layers.1.mlp.up_proj.weight"]
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(HipError, match=r"1 weights are missing .* model\.layers\.1\.mlp\.up_proj\.weight"):
            load(source)

    def test_cut_off_weights(self, tmp_path):
        source = saved(make_model("llama"), tmp_path)
        path = tmp_path / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(HipError, match="tiny: cannot be loaded: "):
            load(source)

    def test_weights_of_another_shape(self, tmp_path):
        source = saved(make_model("llama"), tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 32}))
        with pytest.raises(HipError, match="tiny: "):
            load(source)

    def test_numbers_that_are_none(self, tmp_path):
        model = make_model("llama")
        with torch.no_grad():
            model.model.norm.weight[0] = float("nan")
        with pytest.raises(HipError, match="not a number in float32"):
            load(saved(model, tmp_path))

    @pytest.mark.parametrize(
        ("family", "settings", "message"),
        [
            ("bloom", {"n_layer": 1, "n_head": 2, "hidden_size": 16, "vocab_size": 64}, "do not let their attention"),
            ("falcon", {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16}, "tiny: "),
            (
                "gemma2",
                {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "vocab_size": 64},
                "softcap",
            ),
        ],
    )
    def test_attention_that_cannot_be_replaced(self, family, settings, message, tmp_path):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings))
        with pytest.raises(HipError, match=message):
            load(saved(model, tmp_path))

    def test_attention_that_is_ignored(self, tmp_path, monkeypatch):
        """A family that accepts the name and goes on with its own attention."""
        from transformers.models.llama import modeling_llama

        ignoring = type("Ignoring", (), {"get_interface": lambda *_: modeling_llama.eager_attention_forward})
        monkeypatch.setattr(modeling_llama, "ALL_ATTENTION_FUNCTIONS", ignoring())
        with pytest.raises(HipError, match="llama models do not let their attention be replaced"):
            load(saved(make_model("llama"), tmp_path))

    def test_code_of_a_repository_is_never_run(self, tmp_path):
        saved(make_model("llama"), tmp_path)
        marker = tmp_path / "ran"
        (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
        config = json.loads((tmp_path / "config.json").read_text())
        code = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model", "AutoTokenizer": ["evil.T", None]}
        source = ModelSource("tiny", tmp_path, "")
        (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": code}))
        assert type(load(source)).__name__ == "LlamaForCausalLM"
        (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "evil", "auto_map": code}))
        with pytest.raises(HipError, match="which hip never runs"):
            load(source)
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": code}))
        with pytest.raises(HipError, match="its tokenizer cannot be loaded"):
            load_tokenizer(source)
        assert not marker.exists()

    def test_unknown_family(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama9"}))
        with pytest.raises(HipError, match="llama9") as caught:
            load(ModelSource("tiny", tmp_path, ""))
        assert "update transformers" in (caught.value.hint or "")

    @pytest.mark.parametrize("content", [None, "{", '{"version": "1.0"}'])
    def test_tokenizer(self, content, tmp_path):
        saved(make_model("llama"), tmp_path)
        if content is not None:
            (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(HipError, match="tiny: its tokenizer cannot be loaded: ") as caught:
            load_tokenizer(ModelSource("tiny", tmp_path, ""))
        assert "\n" not in caught.value.message

    def test_memory(self, tmp_path, monkeypatch):
        def full(*_):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 16.00 GiB")

        monkeypatch.setattr(hipcli.models.load, "_load_weights", full)
        with pytest.raises(HipError, match="does not fit on cpu") as caught:
            load(saved(make_model("llama"), tmp_path))
        assert caught.value.exit_code == ExitCode.DOES_NOT_FIT


class TestChoice:
    def test_names_of_types(self):
        cpu = torch.device("cpu")
        assert choose_dtype("bf16", cpu) == choose_dtype("bfloat16", cpu) == torch.bfloat16
        assert choose_dtype("fp16", cpu) == torch.float16
        assert choose_dtype("float32", cpu) == torch.float32
        with pytest.raises(HipError, match="--dtype int4: no such type") as caught:
            choose_dtype("int4", cpu)
        assert caught.value.exit_code == ExitCode.USAGE

    @pytest.mark.parametrize(
        ("capability", "flags", "expected"),
        [
            ("AVX512", "fpu avx512f avx512_bf16", torch.bfloat16),
            ("AVX512", "fpu avx512f amx_bf16", torch.bfloat16),
            ("AVX512", "fpu avx512f", torch.float32),
            ("AVX2", "fpu avx512_bf16", torch.float32),
        ],
    )
    def test_automatic_type(self, capability, flags, expected, tmp_path, monkeypatch):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor : 0\nflags : {flags}\n")
        monkeypatch.setattr(hipcli.models.load, "_CPUINFO", cpuinfo)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        assert choose_dtype("auto", torch.device("cpu")) == expected

    def test_devices(self):
        assert choose_device("cpu") == torch.device("cpu")
        assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
        for name in ("banana", "mps"):
            with pytest.raises(HipError, match=f"--device {name}") as caught:
                choose_device(name)
            assert caught.value.exit_code == ExitCode.USAGE
        with pytest.raises(HipError, match=r"--device cuda:99: \d+ CUDA devices? found"):
            choose_device("cuda:99")


@pytest.mark.model
def test_embedded_model_writes_text():
    source = resolve(None)
    tokenizer, model = load_tokenizer(source), load_model(source, device="cpu")
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    answer = tokenizer.decode(model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :])
    assert "Paris" in answer
