"""The embedded model over 1,024 tokens of a text that does not change, in float32."""

from pathlib import Path

import pytest
import torch
from hip_attention.config import HipConfig

from hipcli.engine.prefill import Context
from hipcli.models.language_model import LoadedModel
from hipcli.models.load import load_model
from hipcli.models.resolve import resolve
from hipcli.prompt.tokenizer import load_tokenizer

pytestmark = [pytest.mark.model, pytest.mark.slow]
ROOT = Path(__file__).parents[3]
LENGTH = 1024
SPARSE = HipConfig(top_k=128, min_context=0)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(resolve(None), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def ids() -> list[int]:
    source = resolve(None)
    text = (ROOT / "LICENSE").read_text()
    return load_tokenizer(source.name, source.path).encode(text, control=False)[:LENGTH]


def logits(loaded: LoadedModel, ids: list[int], config: HipConfig, chunk: int) -> torch.Tensor:
    with torch.inference_mode():
        hidden = Context(loaded.model, config, LENGTH + 64, chunk_tokens=chunk).hidden(ids)
        return loaded.model.logits(hidden[::7])


def test_selecting_all_there_is_equals_dense_attention(loaded: LoadedModel, ids: list[int]) -> None:
    everything = HipConfig(top_k=LENGTH, min_context=0, dense_layers=0, select_always=True)
    expected = logits(loaded, ids, HipConfig(backend="dense"), LENGTH)
    torch.testing.assert_close(logits(loaded, ids, everything, 1024), expected, atol=1e-4, rtol=1e-4)


def test_the_size_of_chunks_does_not_matter(loaded: LoadedModel, ids: list[int]) -> None:
    whole = logits(loaded, ids, SPARSE, LENGTH)
    assert (whole - logits(loaded, ids, HipConfig(backend="dense"), LENGTH)).abs().max() > 1e-2
    torch.testing.assert_close(logits(loaded, ids, SPARSE, 512), whole, atol=1e-4, rtol=1e-4)
