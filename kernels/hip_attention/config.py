"""The one description of how sparse attention behaves. Imports nothing heavy: the command line reads its defaults."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

Selector = Literal["summary", "summary-exact", "representative", "representative-first", "exhaustive"]
Backend = Literal["auto", "torch", "triton", "dense"]
Question = Literal["dense", "sparse"]


@dataclass(frozen=True)
class HipConfig:
    """Settings of HiP attention; lengths are in tokens.

    top_k: keys every query block may select outside sink and window, a decoded row twice as many (see `of_decode`);
        0 selects none (StreamingLLM).
    block_q, block_k: queries that share one mask, and keys that are selected together.
    sink: first keys of the context, which every query sees.
    window: most recent keys, which every query sees; at least block_q, so that no query block has to search keys
        that some of its rows may not see yet.
    refresh_interval: decode steps that reuse one mask.
    dense_layers: number of first layers that attend to everything, before `packed_from`.
    selector: "summary" scores a tree node by the mean and variance of its keys; "summary-exact" does so too, keeps
        twice as many nodes, and lets rows vote for the key blocks at the end: each gives a block the softmax, over all
        of them, of its largest logit (scaled by head_dim^-0.5), and the sums count, in prefill (see `of_decode`);
        "representative" scores a node by its centre key block (HiP, arXiv 2406.09827 v2), "representative-first" by
        its first one (v1); "exhaustive" scores every key block by its largest logit, in quadratic time (PyTorch only).
    query_stride: the selector scores every query_stride-th row of a query block, counted back from its last.
    min_context: query blocks that end before this position attend to everything, which is faster there; in a context
        that is known to grow longer they do not (see `for_context`).
    packed_from: query blocks that end at or past this position see keys at packed positions, which leave no distance
        larger than `packed_length` (see `reference`); None keeps every true position. Selection then
        is by content, everywhere. Needs a cache that holds keys before rotation.
    question: how the rows attend that a cache is told are a question: "dense" to everything, at packed positions
        to what an exhaustive search finds (see `of_question`); "sparse" like those of a document. They are few, and
        what they miss is not found.
    select_always: search also where a row may select all there is, which gives exact attention by the sparse path: how
        a program checks itself. Otherwise such rows are attended to densely.
    backend: "auto" picks the fastest one for the device; "dense" ignores all of the above.

    Raises ValueError naming the field when a value is out of range.
    """

    top_k: int = 1024
    block_q: int = 128
    block_k: int = 16
    sink: int = 64
    window: int = 512
    refresh_interval: int = 8
    dense_layers: int = 7
    selector: Selector = "summary-exact"
    query_stride: int = 4
    min_context: int = 4096
    packed_from: int | None = None
    question: Question = "dense"
    select_always: bool = False
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        for name in ("block_q", "block_k", "refresh_interval", "query_stride"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("top_k", "sink", "dense_layers", "min_context"):
            _require(getattr(self, name) >= 0, f"{name} must not be negative, not {getattr(self, name)}")
        packed = self.packed_from is None or self.packed_from >= 0
        _require(packed, f"packed_from must not be negative, not {self.packed_from}")
        for name in ("top_k", "sink", "block_q"):
            multiple = getattr(self, name) % self.block_k == 0
            _require(multiple, f"{name} must be a multiple of block_k ({self.block_k}), not {getattr(self, name)}")
        smallest = max(self.block_q, self.block_k)
        _require(self.window >= smallest, f"window must be at least {smallest}, not {self.window}")
        dense = self.backend == "dense" and self.packed_from is not None
        _require(not dense, "backend dense attends at true positions: leave packed_from unset")
        always = self.select_always and not self.uses_summaries
        _require(not always, f"select_always needs a selector of summaries, not {self.selector}")
        _require(self.selector in get_args(Selector), f"selector must be one of {', '.join(get_args(Selector))}")
        _require(self.question in get_args(Question), f"question must be one of {', '.join(get_args(Question))}")
        _require(self.backend in get_args(Backend), f"backend must be one of {', '.join(get_args(Backend))}")

    @property
    def selected_blocks(self) -> int:
        """Key blocks a query block selects: top_k / block_k."""
        return self.top_k // self.block_k

    @property
    def uses_summaries(self) -> bool:
        """Whether a search reads means and variances of keys."""
        return self.selector in ("summary", "summary-exact")

    @property
    def reads_keys(self) -> bool:
        """Whether a search reads the keys themselves."""
        return self.selector != "summary"

    @property
    def exact_leaves(self) -> bool:
        """Whether a search ends with the logits of the keys themselves."""
        return self.selector == "summary-exact"

    @property
    def kept_nodes(self) -> int:
        """Nodes that a search of summaries keeps of every level above the key blocks."""
        return self.selected_blocks * (2 if self.exact_leaves else 1)

    @property
    def of_decode(self) -> "HipConfig":
        """How one decoded row selects: twice the keys, and by statistics alone where leaves are exact.

        What it misses is missing from the answer, and it is cheap: decoding waits for the model's weights. At packed
        positions, where the trained window bounds what a row sees, it selects `top_k` keys.
        """
        top_k = self.top_k if self.packed_from is not None else 2 * self.top_k
        return replace(self, top_k=top_k, selector="summary" if self.exact_leaves else self.selector)

    @property
    def of_question(self) -> "HipConfig":
        """How the rows of a "dense" question attend at packed positions: `block_k` of them share a mask."""
        return replace(
            self, selector="exhaustive", block_q=self.block_k, query_stride=1, select_always=False, backend="torch"
        )  # fmt: skip

    def for_context(self, tokens: int) -> "HipConfig":
        """How a context of `tokens` tokens is read: one longer than `min_context` is searched from its start.

        A model that compares what it read densely with what it read sparsely takes the latter (docs/quality.md, "Read
        alike").
        """
        return self if tokens <= self.min_context else replace(self, min_context=0)

    def caches_unrotated(self, int8: bool) -> bool:
        """Whether keys are cached before rotation: to be packed, or as integers, which suits them so."""
        return int8 or self.packed_from is not None

    @property
    def full_layers(self) -> int:
        """First layers whose every token reads all keys: storing those as integers would cost time at every token."""
        return self.dense_layers if self.packed_from is None else 0

    @property
    def visible_keys(self) -> int:
        """Keys a row may see: sink + top_k + window. Rows that have no more are attended to exactly."""
        return self.sink + self.top_k + self.window

    @property
    def packed_length(self) -> int:
        """Packed positions stay below this: a row of visible keys, in whole blocks, and the query block after it."""
        return self.visible_keys + max(self.block_q + self.block_k, self.refresh_interval)

    @property
    def search_distance(self) -> int:
        """Distance at which the search compares every query with every key when `packed_from` is set."""
        return self.visible_keys


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
