import json
import math
import runpy
import warnings
from pathlib import Path

import gguf
import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from hipcli.errors import HipError
from hipcli.models.gguf import convert
from hipcli.prompt.tokenizer import load_tokenizer

TINY = runpy.run_path(str(Path(__file__).parents[2] / "data/tiny_models.py"))
make_model, write_gguf = TINY["make_model"], TINY["write_gguf"]
IDS = torch.tensor([[5, 17, 80, 3, 200, 9, 9, 41, 120, 77, 60, 18]])


@pytest.fixture(autouse=True)
def _quiet():
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a converter that warns would write on the user's terminal
        yield


def converted(path, tmp_path, name="out"):
    folder = tmp_path / name
    folder.mkdir()
    convert(path, folder)
    return folder


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


class TestWeights:
    @pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gemma3_text"])
    @pytest.mark.parametrize("tied", [True, False])
    def test_same_model_comes_out(self, family, tied, tmp_path):
        model = make_model(family, tie_word_embeddings=tied)
        model.set_attn_implementation("eager")
        folder = converted(write_gguf(tmp_path / "m.gguf", model), tmp_path)
        again = load(folder)
        assert again.config.model_type == family
        assert again.config.tie_word_embeddings == tied
        assert torch.equal(logits(again), logits(model))
        assert "quantization_config" not in json.loads((folder / "config.json").read_text())
        assert next(iter(AutoModelForCausalLM.from_pretrained(folder).parameters())).dtype == torch.bfloat16

    def test_embedding_quantized_twice_is_tied_to_the_output_copy(self, tmp_path):
        model = make_model("qwen2", tie_word_embeddings=True)
        output = model.lm_head.weight.detach().numpy()
        noise = numpy.random.default_rng(0).normal(size=output.shape).astype(numpy.float32)
        coarse = output + 0.05 * output.std() * noise
        path = write_gguf(tmp_path / "m.gguf", model, tensors={"token_embd.weight": coarse, "output.weight": output})
        again = load(converted(path, tmp_path))
        assert again.config.tie_word_embeddings
        assert again.lm_head.weight is again.model.embed_tokens.weight
        assert torch.equal(again.lm_head.weight, model.lm_head.weight)

    def test_quantized_weights_are_close(self, tmp_path):
        model = make_model("llama")
        path = write_gguf(tmp_path / "m.gguf", model, quantization=gguf.GGMLQuantizationType.Q8_0)
        again = load(converted(path, tmp_path))
        for name, weight in model.state_dict().items():
            error = (again.state_dict()[name] - weight).abs().max()
            assert error < 0.01, name
        assert not torch.equal(again.state_dict()["lm_head.weight"], model.state_dict()["lm_head.weight"])


class TestRope:
    def test_llama3_factors_are_kept(self, tmp_path):
        rope = {
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }
        model = make_model("llama", rope_parameters=rope, max_position_embeddings=131_072)
        plain = 500_000.0 ** -(torch.arange(0, 32, 2) / 32)
        factors = (plain / model.model.rotary_emb.inv_freq).numpy()
        assert factors.max() == pytest.approx(8.0)
        path = write_gguf(tmp_path / "m.gguf", model, tensors={"rope_freqs.weight": factors})
        again = load(converted(path, tmp_path))
        assert again.config.rope_parameters["rope_type"] == "llama3"
        assert again.config.max_position_embeddings == 131_072
        torch.testing.assert_close(again.model.rotary_emb.inv_freq, model.model.rotary_emb.inv_freq)

    def test_factors_of_no_known_rule_are_refused(self, tmp_path):
        factors = numpy.linspace(1, 3, 16, dtype=numpy.float32)
        path = write_gguf(tmp_path / "m.gguf", make_model("llama"), tensors={"rope_freqs.weight": factors})
        with pytest.raises(HipError, match="rope factors"):
            converted(path, tmp_path)

    def test_yarn_is_kept_and_widens_the_window(self, tmp_path):
        rope = {
            "rope_type": "yarn",
            "rope_theta": 10_000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 512,
        }
        model = make_model("qwen2", rope_parameters=rope, max_position_embeddings=2048)
        keys = {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 512,
        }
        again = load(converted(write_gguf(tmp_path / "m.gguf", model, keys=keys), tmp_path))
        assert again.config.max_position_embeddings == 2048
        torch.testing.assert_close(again.model.rotary_emb.inv_freq, model.model.rotary_emb.inv_freq)
        assert again.model.rotary_emb.attention_scaling == pytest.approx(1 + 0.1 * math.log(4))

    def test_yarn_window_stated_before_scaling(self, tmp_path):
        model = make_model("qwen2")  # 512 positions
        keys = {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 512,
        }
        folder = converted(write_gguf(tmp_path / "m.gguf", model, keys=keys), tmp_path)
        assert load(folder).config.max_position_embeddings == 2048
        assert AutoTokenizer.from_pretrained(folder).model_max_length == 2048

    def test_gemma_scales_global_layers_only(self, tmp_path):
        keys = {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}
        path = write_gguf(tmp_path / "m.gguf", make_model("gemma3_text"), keys=keys)
        rope = load(converted(path, tmp_path)).config.rope_parameters
        assert (rope["full_attention"]["rope_type"], rope["full_attention"]["factor"]) == ("linear", 8.0)
        assert rope["sliding_attention"] == {"rope_type": "default", "rope_theta": 10_000.0}

    def test_unknown_scaling_is_refused(self, tmp_path):
        path = write_gguf(tmp_path / "m.gguf", make_model("llama"), keys={"rope.scaling.type": "longrope"})
        with pytest.raises(HipError, match="'longrope'"):
            converted(path, tmp_path)


class TestTokenizer:
    def tokenizer(self, tmp_path, pre):
        path = write_gguf(tmp_path / "m.gguf", make_model("llama"), pre=pre)
        return AutoTokenizer.from_pretrained(converted(path, tmp_path))

    def test_ids_template_and_window(self, tmp_path):
        tokenizer = self.tokenizer(tmp_path, "gpt-2")
        tokens = TINY["byte_tokens"]()
        assert tokenizer("in the 12").input_ids == [tokens.index(t) for t in ("i", "n", "Ġthe", "Ġ", "12")]
        assert tokenizer.decode(tokenizer("naïve 文\n\n x").input_ids) == "naïve 文\n\n x"
        assert tokenizer.model_max_length == 512
        chat = [{"role": "user", "content": "a"}]
        assert tokenizer.apply_chat_template(chat, tokenize=False) == "<|im_start|>a<|im_end|>"
        assert tokenizer("<|im_end|>").input_ids == [2]

    def test_nothing_but_tokenizer_json_is_needed(self, tmp_path):
        tokenizer = load_tokenizer("m", converted(write_gguf(tmp_path / "m.gguf", make_model("llama")), tmp_path))
        assert tokenizer.because is None
        assert tokenizer.encode("12<|im_end|>", control=True) == [TINY["byte_tokens"]().index("12"), 2]

    def test_smollm_splits_digits(self, tmp_path):
        tokens = TINY["byte_tokens"]()
        assert self.tokenizer(tmp_path, "smollm")("12").input_ids == [tokens.index("1"), tokens.index("2")]

    def test_qwen_composes_accents(self, tmp_path):
        tokenizer = self.tokenizer(tmp_path, "qwen2")
        assert tokenizer("e\u0301").input_ids == tokenizer("\u00e9").input_ids

    def test_file_beside_it_is_not_taken(self, tmp_path):
        (tmp_path / "tokenizer.json").write_text("{}")
        assert self.tokenizer(tmp_path, "gpt-2")("12").input_ids == [TINY["byte_tokens"]().index("12")]

    def test_unknown_word_splitting_is_refused(self, tmp_path):
        with pytest.raises(HipError, match=r"tokenizer .*made-up"):
            self.tokenizer(tmp_path, "made-up")

    def test_every_end_of_turn_stops(self, tmp_path):
        path = write_gguf(tmp_path / "m.gguf", make_model("llama"))
        generation = json.loads((converted(path, tmp_path) / "generation_config.json").read_text())
        assert generation["eos_token_id"] == [0, 2]


class TestRefusals:
    @pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.99])
    def test_cut_off_file(self, share, tmp_path):
        data = write_gguf(tmp_path / "m.gguf", make_model("llama")).read_bytes()
        path = tmp_path / "cut.gguf"
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(HipError, match=r"^cut\.gguf: damaged or unreadable GGUF file"):
            converted(path, tmp_path)

    @pytest.mark.parametrize("key", [b"tokenizer.ggml.tokens", b"tokenizer.ggml.model", b"general.architecture"])
    @pytest.mark.parametrize("byte", [b"X", b"\xf9"])
    def test_garbled_header(self, key, byte, tmp_path):
        data = write_gguf(tmp_path / "m.gguf", make_model("llama")).read_bytes()
        path = tmp_path / "garbled.gguf"
        path.write_bytes(data.replace(key, byte + key[1:], 1))
        with pytest.raises(HipError) as caught:
            converted(path, tmp_path)
        assert caught.value.message.startswith("garbled.gguf: ")

    def test_garbled_value(self, tmp_path):
        data = write_gguf(tmp_path / "m.gguf", make_model("llama")).read_bytes()
        path = tmp_path / "garbled.gguf"
        at = data.index(b"general.architecture") + len(b"general.architecture") + 12
        path.write_bytes(data[:at] + b"\xf9" + data[at + 1 :])
        with pytest.raises(HipError, match="damaged or unreadable"):
            converted(path, tmp_path)

    @pytest.mark.parametrize("padding", range(4))
    @pytest.mark.parametrize("key", ["tokenizer.ggml.token_type", "tokenizer.ggml.tokens"])
    def test_array_without_end(self, key, padding, tmp_path):
        data = write_gguf(tmp_path / "m.gguf", make_model("llama")).read_bytes()
        path = tmp_path / "long.gguf"
        at = data.index(key.encode()) + len(key) + 8  # its type and that of its values
        path.write_bytes(data[:at] + (2**40).to_bytes(8, "little") + data[at + 8 :] + bytes(padding))
        with pytest.raises(HipError, match="damaged or unreadable"):
            converted(path, tmp_path)

    def test_more_values_than_any_vocabulary_has(self, tmp_path, monkeypatch):
        monkeypatch.setattr("hipcli.models.gguf_header._MOST_VALUES", 100)
        with pytest.raises(HipError, match="header has more than 100 values"):
            converted(write_gguf(tmp_path / "m.gguf", make_model("llama")), tmp_path)

    def test_merge_of_unknown_tokens(self, tmp_path):
        data = write_gguf(tmp_path / "m.gguf", make_model("llama")).read_bytes()
        path = tmp_path / "merges.gguf"
        path.write_bytes(data.replace(b"1 2", b"1 \x01", 1))
        with pytest.raises(HipError, match=r"^merges\.gguf: its tokenizer is damaged"):
            converted(path, tmp_path)

    def test_infinite_weights_are_no_warning(self, tmp_path):
        model = make_model("llama", tie_word_embeddings=False)
        infinite = numpy.full_like(model.lm_head.weight.detach().numpy(), numpy.inf)
        converted(write_gguf(tmp_path / "m.gguf", model, tensors={"output.weight": infinite}), tmp_path)

    def test_other_architecture(self, tmp_path):
        path = tmp_path / "m.gguf"
        writer = gguf.GGUFWriter(path, "mamba")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(HipError, match="architecture 'mamba'"):
            converted(path, tmp_path)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"omit": ("blk.1.ffn_up.weight",)}, r"missing, such as model\.layers\.1\.mlp\.up_proj\.weight"),
            ({"tensors": {"blk.0.surprise.weight": numpy.ones(4, numpy.float32)}}, "unknown tensor blk.0.surprise"),
            ({"tensors": {"blk.0.attn_norm.weight": numpy.ones(4, numpy.float32)}}, r"\(4,\).*, not \(64,\)"),
            ({"keys": {"expert_count": 8}}, "mixture-of-experts"),
            ({"keys": {"rope.dimension_count": 8}}, "rotary part"),
            ({"omit": ("token_embd.weight",)}, "no token_embd"),
        ],
    )
    def test_what_is_not_understood(self, changes, message, tmp_path):
        path = write_gguf(tmp_path / "m.gguf", make_model("llama"), **changes)
        with pytest.raises(HipError, match=message) as caught:
            converted(path, tmp_path)
        assert "\n" not in caught.value.message

    @pytest.mark.parametrize(
        ("family", "key", "value", "message"),
        [
            ("llama", "attention.scale", 0.5, "llama.attention.scale"),
            ("llama", "logit_scale", 0.1, "llama.logit_scale"),
            ("llama", "attention.clamp_kqv", 8.0, "clamp_kqv"),
            ("llama", "attention.causal", 0, "attention.causal"),
            ("llama", "rope.scaling.yarn_ext_factor", 0.5, "yarn_ext_factor"),
            ("llama", "attention.sliding_window_pattern", 2, "sliding_window_pattern"),
            ("qwen2", "attention.sliding_window", 8, "a sliding window"),
            ("gemma3_text", "final_logit_softcapping", 30.0, "final_logit_softcapping"),
            ("gemma3_text", "attn_logit_softcapping", 30.0, "attn_logit_softcapping"),
            ("gemma3_text", "attention.key_length_swa", 16, "another width"),
        ],
    )
    def test_keys_that_change_what_is_computed(self, family, key, value, message, tmp_path):
        path = write_gguf(tmp_path / "m.gguf", make_model(family), keys={key: value})
        with pytest.raises(HipError, match=message):
            converted(path, tmp_path)

    def test_keys_that_change_nothing(self, tmp_path):
        keys = {"vocab_size": 320, "rope.dimension_count": 32, "rope.scaling.finetuned": 1, "expert_count": 0}
        converted(write_gguf(tmp_path / "m.gguf", make_model("llama"), keys=keys), tmp_path)


@pytest.mark.model
def test_embedded_model_equals_the_loader_of_transformers(tmp_path):
    """transformers' own GGUF reader, slow and with a poorer tokenizer, must find the same weights."""
    from hipcli.disk import converted
    from hipcli.models import embedded

    warnings.simplefilter("ignore")
    folder = embedded.fetch(lambda notice: None)
    with converted.work_folder() as work:
        path = embedded.download(work)
        theirs = AutoModelForCausalLM.from_pretrained(work, gguf_file=path.name, dtype=torch.bfloat16)
    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(ours.state_dict()[name], weight) for name, weight in theirs.state_dict().items())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("In 1872 a meeting of 12 people", return_tensors="pt").input_ids
    assert len(ids[0]) == 13  # each digit is a token of its own: 4 + 2, and their two spaces
    with torch.inference_mode():
        assert torch.equal(ours(ids).logits.argmax(-1), theirs(ids).logits.argmax(-1))
