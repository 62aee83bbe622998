"""What a run will do with one context, settled before it starts: the engine executes this object, and it is printed."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from hip_attention.config import HipConfig
from hip_attention.plan import decoded_packed, decoded_sparsely
from hip_attention.rope_config import Yarn

from hipcli.cli.options import AttentionKind, KvStorage, PlacedKind

if TYPE_CHECKING:
    import torch

_BOTH = ("selector", "top_k", "sink", "window", "block_k", "dense_layers")
_PREFILL = (*_BOTH, "block_q", "query_stride", "min_context")
_DECODE = (*_BOTH, "refresh_interval")


@dataclass(frozen=True)
class Plan:
    """How a context of `capacity` tokens is read and answered, of which `prompt_tokens` are the prompt.

    kind and hip: the attention asked for, made to suit the length and the device. yarn: how positions are stretched.
    kv_cache: what keys and values are kept as.
    """

    kind: AttentionKind
    hip: HipConfig
    prompt_tokens: int
    capacity: int
    yarn: Yarn | None = None
    kv_cache: KvStorage = "full"

    @property
    def prefill(self) -> HipConfig:
        """Attention of the documents."""
        return self.hip.for_context(self.capacity)

    @property
    def decode(self) -> HipConfig:
        """Attention of each token of an answer."""
        return self.prefill.of_decode

    @property
    def answers_sparsely(self) -> bool:
        """Whether tokens of an answer select keys, at its end if not from its beginning."""
        config, last = self.decode, self.capacity - 2  # the position of the last token that is read
        return config.backend != "dense" and (decoded_packed(last, config) or decoded_sparsely(last, config))

    @property
    def positions(self) -> PlacedKind:
        """Where keys stand."""
        if self.yarn is not None:
            return "yarn"
        return "exact" if self.hip.packed_from is None else "packed"

    @property
    def yarn_factor(self) -> float:
        return 1 if self.yarn is None else self.yarn.factor


@dataclass(frozen=True)
class Execution:
    """What a plan came to on this machine, as far as it is not the plan's to say.

    implementation: who ran the model, `implementation_because` why. Each `because` is None where nothing was given up.
    rows: whether the documents' rows were sparse, past the first ones, which have few keys. Of the model's `layers`,
    `dense_layers` read all keys and `sliding_layers` the latest ones, by the model's own design.
    """

    implementation: Literal["decoder", "transformers"]
    implementation_because: str
    unpacked_because: str | None
    tokenizer_because: str | None
    backend: Literal["dense", "torch", "triton"]
    rows: Literal["dense", "sparse"]
    dense_because: str | None
    eager_because: str | None
    self_check_s: float
    layers: int
    dense_layers: int
    sliding_layers: int

    @property
    def sparse_layers(self) -> int:
        return self.layers - self.dense_layers - self.sliding_layers

    def answers_sparsely(self, plan: Plan) -> bool:
        """Whether tokens of an answer selected keys in any layer."""
        return plan.answers_sparsely and self.sparse_layers > 0

    def lines(self, plan: Plan) -> list[str]:
        """What was chosen, and why it was nothing else, for a reader."""
        hip, decode = plan.prefill, plan.decode
        weights = "packed" if self.unpacked_because is None else f"not packed: {self.unpacked_because}"
        lines = [
            f"model: {self.implementation} ({self.implementation_because}); weights {weights}",
            f"tokenizer: {'tokenizers' if self.tokenizer_because is None else self.tokenizer_because}",
            f"self-check: passed in {self.self_check_s:.2f} s",
        ]
        if self.rows == "dense":
            lines.append(f"documents: all keys ({self.dense_because})")
        else:
            seen = f"top_k={hip.top_k} sink={hip.sink} window={hip.window}"
            lines.append(f"documents: {_selector(hip)} by {self.backend}, {seen}")
        if self.sparse_layers < self.layers and (self.rows == "sparse" or plan.answers_sparsely):
            which = f"{self.dense_layers} of them read all keys, {self.sliding_layers} the latest ones"
            lines.append(f"layers: {self.layers}; {which}")
        if self.answers_sparsely(plan):
            again = f", selected again every {decode.refresh_interval} tokens" if decode.top_k else ""
            lines.append(f"answer: {_selector(decode)}, top_k={decode.top_k} window={decode.window}{again}")
        if plan.yarn is not None:
            lines.append(f"positions: stretched {plan.yarn_factor:g} times")
        elif hip.packed_from is not None:
            lines.append(f"positions: packed from {hip.packed_from:,}")
        lines.append(f"decode: {'CUDA graphs' if self.eager_because is None else f'eager ({self.eager_because})'}")
        return lines

    def as_json(self, plan: Plan) -> dict[str, Any]:
        """The object `attention` of JSON output: with the values that ran."""
        hip, dense = plan.prefill, {"dense_layers": self.dense_layers}
        return {
            "kind": plan.kind,
            "positions": plan.positions,
            "yarn_factor": plan.yarn_factor,
            "packed_from": hip.packed_from,
            "kv_cache": plan.kv_cache,
            "prefill": _chosen(hip, *_PREFILL) | dense if self.rows == "sparse" else None,
            "decode": _chosen(plan.decode, *_DECODE) | dense if self.answers_sparsely(plan) else None,
            **{name: value for name, value in asdict(self).items() if name != "dense_layers"},
        }


def _selector(config: HipConfig) -> str:
    return config.selector if config.top_k else "nothing but sink and window"


def _chosen(config: HipConfig, *names: str) -> dict[str, Any]:
    """Some fields of the settings."""
    return {name: getattr(config, name) for name in names}


def rows_of(plan: Plan, device: "torch.device") -> tuple[Literal["dense", "sparse"], str | None]:
    """Whether rows of the documents are sparse on this device; where not, why."""
    from hip_attention.backend import search_start
    from hip_attention.plan import packed_start

    config, prompt = plan.prefill, plan.prompt_tokens
    if config.backend == "dense":
        return "dense", "--attention dense"
    if packed_start(prompt, prompt, config) < prompt:
        return "sparse", None
    if search_start(prompt, prompt, config, device, plan.capacity - prompt) < prompt:
        return "sparse", None
    limit = max(config.min_context, config.visible_keys)
    if prompt <= limit:
        return "dense", f"{prompt:,} tokens, and rows see {limit:,} keys anyway"
    return "dense", "faster on this device at this length"


def backend_of(plan: Plan, device: "torch.device") -> Literal["dense", "torch", "triton"]:
    """Which implementation attends on this device."""
    from hip_attention.backend import uses_triton

    if plan.hip.backend == "dense":
        return "dense"
    return "triton" if uses_triton(plan.hip, device) else "torch"
