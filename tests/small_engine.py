"""What tests of the engine run on: a small random model, settings that make it sparse, and some tokens."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import pytest
import small_config
import torch
from hip_attention.rope_config import RopeConfig, Yarn
from tokenizers import Tokenizer, decoders, models
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor

from hipcli.engine.engine import Engine
from hipcli.engine.text_stream import TextStream
from hipcli.models.architecture import Architecture
from hipcli.models.decoder import Decoder
from hipcli.models.language_model import LoadedModel
from hipcli.models.plain import Reference, plain_forward
from hipcli.models.weights import Weights
from hipcli.prompt.tokenizer import Messages

SPARSE = replace(small_config.SPARSE, question="sparse")
DOCUMENT = [(7 * i * i + 3 * i) % 256 for i in range(300)]
QUESTION = [72, 101, 108, 108, 111]


class Bytes:
    """A tokenizer whose tokens are bytes, and 256 the end of a text."""

    name = "bytes"
    because: str | None = None
    chat_template: str | None = None
    bos_id: int | None = None
    eos_id: int | None = 256

    def __init__(self) -> None:
        self.now = datetime.now()
        self.added_tokens: dict[str, tuple[int, bool]] = {}

    def encode(self, text: str, *, control: bool) -> list[int]:
        return list(text.encode())

    def starts(self, text: str) -> list[int]:
        return [place for place, character in enumerate(text) for _ in character.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 256).decode("utf-8", "replace")

    def serialized(self) -> str:
        visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
        hidden = [byte for byte in range(256) if byte not in visible]
        names = {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}
        backend = Tokenizer(models.BPE(names, []))
        backend.pre_tokenizer, backend.decoder = ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        backend.add_special_tokens(["<end>"])
        assert backend.token_to_id("<end>") == self.eos_id
        return str(backend.to_str())

    def render(self, messages: Messages) -> str:
        raise AssertionError("there is no chat template")

    def wants_bos(self) -> bool:
        return False


def random_llama(head_dim: int = 8, device: str = "cpu") -> LoadedModel:
    """The same model every time; on a GPU heads have at least 16 dimensions."""
    architecture = Architecture(
        family="llama", vocabulary=260, hidden=32, intermediate=48, heads=4, kv_heads=2, head_dim=head_dim,
        windows=(None,) * 3, ropes=(RopeConfig(),) * 3, scale=head_dim**-0.5, norm_eps=1e-6, tied=False,
    )  # fmt: skip
    tensors = _random_tensors(architecture)
    weights = Weights(
        "random", {name: partial(_itself, x) for name, x in tensors.items()}, torch.device(device), torch.float32
    )

    def reference(ids: Tensor, yarn: Yarn | None) -> Reference:
        return plain_forward(architecture, weights, ids, yarn)

    return LoadedModel("random", Decoder(architecture, weights), frozenset(), reference, "decoder", "it is ours", None)


def answered(engine: Engine, question: list[int], count: int) -> list[int]:
    """The tokens of an answer, seen where they become text."""
    tokens: list[int] = []
    push = TextStream.push
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextStream, "push", lambda self, token: tokens.append(token) or push(self, token))
        list(engine.answer(question, count))
    return tokens


def _random_tensors(a: Architecture) -> dict[str, Tensor]:
    queries, keys = a.heads * a.head_dim, a.kv_heads * a.head_dim
    layer = {
        "self_attn.q_proj": (queries, a.hidden), "self_attn.k_proj": (keys, a.hidden),
        "self_attn.v_proj": (keys, a.hidden), "self_attn.o_proj": (a.hidden, queries),
        "mlp.gate_proj": (a.intermediate, a.hidden), "mlp.up_proj": (a.intermediate, a.hidden),
        "mlp.down_proj": (a.hidden, a.intermediate), "input_layernorm": (a.hidden,),
        "post_attention_layernorm": (a.hidden,),
    }  # fmt: skip
    shapes = {"model.embed_tokens": (a.vocabulary, a.hidden), "model.norm": (a.hidden,)}
    shapes |= {f"model.layers.{i}.{name}": shape for i in range(a.layers) for name, shape in layer.items()}
    shapes["lm_head"] = (a.vocabulary, a.hidden)
    generator = torch.Generator().manual_seed(2)
    return {f"{name}.weight": 0.6 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _itself(tensor: Tensor) -> Tensor:
    return tensor
