"""`hip chat` on tiny models, by hip's own decoder and by transformers: what goes into them goes in once."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hipcli.models.decoder import Decoder
from hipcli.models.plugin import PluginModel

TINY = runpy.run_path(str(Path(__file__).parents[1] / "data/tiny_models.py"))
QUESTIONS = ["When?", "Who was it?", "Why?"]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int]]]:
    """Where every forward pass began, and its tokens."""
    passes = []
    hidden, inputs = Decoder.hidden, PluginModel._inputs

    def decoded(self: Decoder, ids: torch.Tensor, cache: Any, step: Any) -> torch.Tensor:
        passes.append((step.start, ids.tolist()))
        return hidden(self, ids, cache, step)

    def plugged(self: PluginModel, ids: torch.Tensor, cache: Any, step: Any) -> dict[str, Any]:
        passes.append((step.start, ids.tolist()))
        return inputs(self, ids, cache, step)

    monkeypatch.setattr(Decoder, "hidden", decoded)
    monkeypatch.setattr(PluginModel, "_inputs", plugged)
    monkeypatch.setattr("hipcli.engine.runtime.LocalRuntime._check", lambda *_: None)
    return passes


@pytest.mark.parametrize("family", ["qwen3", "olmo2"])
def test_nothing_is_read_again_today_or_tomorrow(
    hip: Callable[..., Any], sent: list[tuple[int, list[int]]], tmp_path: Path, family: str
) -> None:
    folder = TINY["save_model"](tmp_path / family, family, max_position_embeddings=2048)
    note = tmp_path / "note.txt"
    note.write_text("The mill burned at dawn again. " * 20)

    def converse(*questions: str) -> list[tuple[int, list[int]]]:
        sent.clear()
        options = ("--model", folder, "--device", "cpu", "--dtype", "float32", "-n", "3", "--session", "mill", "-v")
        done = hip("chat", *options, note, stdin="".join(f"{question}\n" for question in questions).encode())
        assert (done.code, done.out.count("## ")) == (0, len(questions)), done.err
        return [one for one in sent if one != (0, [0, 0])]  # the plug-in tries a model out when it is loaded

    today, tomorrow = converse(*QUESTIONS), converse("And then?")
    length = 0
    for start, ids in [*today, *tomorrow]:
        assert start == length, "every pass goes on where the last one ended"
        length += len(ids)
    assert tomorrow[0][0] > 700, "behind the documents, which are not read tomorrow"
