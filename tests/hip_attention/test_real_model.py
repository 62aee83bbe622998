"""The embedded model, 4,096 tokens of a text that does not change, fp32."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hip_attention import HipConfig
from hip_attention.transformers import HipCache, attach_rotary, detach_rotary

pytestmark = [pytest.mark.model, pytest.mark.slow]
ROOT = Path(__file__).parent.parent.parent
LENGTH = 4096


@pytest.fixture(scope="module")
def model():
    from hipcli.models.load import load_model
    from hipcli.models.resolve import resolve

    return load_model(resolve(None), dtype="float32")


@pytest.fixture(scope="module")
def ids(model):
    from hipcli.models.load import load_tokenizer
    from hipcli.models.resolve import resolve

    text = 2 * (ROOT / "LICENSE").read_text()
    return torch.tensor([load_tokenizer(resolve(None)).encode(text)[:LENGTH]])


@torch.inference_mode()
def logits(model, ids, config, chunk, rotaries=None):
    cache = HipCache(model.config, config, LENGTH + 64, rotaries)
    parts = [
        model(ids[:, a : a + chunk], past_key_values=cache, use_cache=True).logits
        for a in range(0, ids.shape[1], chunk)
    ]
    return torch.cat(parts, 1)


def test_k_that_covers_everything_equals_dense(model, ids) -> None:
    # The first layers search nothing, and the later ones search and select all: both must equal SDPA.
    config = HipConfig(top_k=LENGTH, min_context=0, dense_layers=0)
    model.set_attn_implementation("sdpa")
    with torch.inference_mode():
        expected = model(ids).logits
    model.set_attn_implementation("hip")
    torch.testing.assert_close(logits(model, ids, config, LENGTH), expected, atol=1e-4, rtol=1e-4)


def test_chunked_prefill_equals_one_shot(model, ids) -> None:
    config = HipConfig(min_context=0)
    whole = logits(model, ids, config, LENGTH)
    torch.testing.assert_close(logits(model, ids, config, 1024), whole, atol=1e-4, rtol=1e-4)
    rotaries = detach_rotary(model, LENGTH + 64)
    torch.testing.assert_close(logits(model, ids, config, 1024, rotaries), whole, atol=1e-4, rtol=1e-4)
    attach_rotary(model)


@torch.inference_mode()
def test_generate_equals_the_engine(model, ids) -> None:
    from hipcli.engine.engine import Engine, TextStream
    from hipcli.models.load import load_tokenizer
    from hipcli.models.resolve import resolve

    config = replace(HipConfig(), min_context=0, question="sparse")
    prompt, question = ids[:, :3000], ids[:, 3000:3040]
    model.config.hip = config
    generated = model.generate(
        ids[:, :3040], past_key_values=HipCache(model.config), max_new_tokens=24, do_sample=False
    )[0, 3040:].tolist()
    del model.config.hip
    engine = Engine(model, load_tokenizer(resolve(None)), config, capacity=3100)
    list(engine.read(prompt[0].tolist()))
    tokens = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextStream, "push", lambda _, token: tokens.append(token) or "")
        list(engine.answer(question[0].tolist(), 24))
    attach_rotary(model)
    assert tokens == [token for token in generated if token not in engine._stop]
    assert len(tokens) > 10
