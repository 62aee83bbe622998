"""All settings of sparse attention. Imports nothing heavy, because the command line reads the defaults."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

Selector = Literal["summary", "summary-exact", "representative", "representative-first", "exhaustive"]
Backend = Literal["auto", "torch", "triton", "dense"]
Question = Literal["dense", "sparse"]


@dataclass(frozen=True)
class HipConfig:
    """Settings of HiP attention; lengths are in tokens.

    top_k: keys that a query block selects outside sink and window; a decoded row selects twice as many (see
        `of_decode`); 0 selects none (StreamingLLM).
    block_q, block_k: queries that share one mask, and keys that are selected together.
    sink: first keys of the context, which every query sees.
    window: most recent keys, which every query sees; at least block_q, so that no query block has to search keys
        that some of its rows may not see yet.
    refresh_interval: decode steps that reuse one mask.
    dense_layers: number of first layers that attend to everything, before `packed_from`.
    selector: "summary" scores a tree node by the mean and variance of its keys; "summary-exact" does so too, but in
        prefill keeps twice as many nodes and scores the remaining key blocks by votes: a row's vote for a block is the
        softmax, over these blocks, of its largest logit there (scaled by head_dim^-0.5), and a block's score is the
        sum of its votes; in decode it equals "summary" (see `of_decode`);
        "representative" scores a node by its centre key block (HiP, arXiv 2406.09827 v2), "representative-first" by
        its first one (v1); "exhaustive" scores every key block by its largest logit, in quadratic time (PyTorch only).
    query_stride: the selector scores every query_stride-th row of a query block, counted back from its last.
    min_context: query blocks that end before this position attend to everything, which is faster there; in a context
        that is known to grow longer they do not (see `for_context`).
    packed_from: query blocks that end at or past this position see keys at packed positions, where distances stay
        below `packed_length` (see `reference`); None keeps true positions. If set, every selection is by content, and
        a cache that holds keys before RoPE is needed.
    question: how the rows of a question (see `cache.step.Step`) attend: "dense" to everything, at packed positions
        to what an exhaustive search finds (see `of_question`); "sparse" like rows of a document. They are few, and
        keys that they miss are missing from the answer.
    select_always: search even where a row may select all keys, so that the sparse path computes exact attention, as
        self-checks need. Otherwise such rows attend densely.
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
        """Nodes that a search of summaries keeps at every level above the key blocks."""
        return self.selected_blocks * (2 if self.exact_leaves else 1)

    @property
    def of_decode(self) -> "HipConfig":
        """Settings of a decoded row: twice as many keys, and summaries alone instead of exact leaves.

        Keys that it misses are missing from the answer, and more keys cost little, because decode is bound by reading
        the model's weights. At packed positions, where a row may see no more keys than the trained window holds, it
        selects `top_k`.
        """
        top_k = self.top_k if self.packed_from is not None else 2 * self.top_k
        return replace(self, top_k=top_k, selector="summary" if self.exact_leaves else self.selector)

    @property
    def of_question(self) -> "HipConfig":
        """Settings of a "dense" question at packed positions: an exhaustive search for every `block_k` rows."""
        return replace(
            self, selector="exhaustive", block_q=self.block_k, query_stride=1, select_always=False, backend="torch"
        )  # fmt: skip

    def for_context(self, tokens: int) -> "HipConfig":
        """Settings for a context of `tokens` tokens: one longer than `min_context` is searched from its start.

        Facts in a part that is read densely are found less often when the rest is read sparsely
        (docs/appendix/quality.md, "Read alike").
        """
        return self if tokens <= self.min_context else replace(self, min_context=0)

    def caches_unrotated(self, int8: bool) -> bool:
        """Whether keys are cached before RoPE: for packed positions, and as int8, which calibrates each dimension."""
        return int8 or self.packed_from is not None

    @property
    def full_layers(self) -> int:
        """Number of first layers that read all keys at every token, which int8 would make slower."""
        return self.dense_layers if self.packed_from is None else 0

    @property
    def visible_keys(self) -> int:
        """Keys a row may see: sink + top_k + window. Rows that have no more attend exactly."""
        return self.sink + self.top_k + self.window

    @property
    def packed_length(self) -> int:
        """Upper bound of packed positions: visible keys in whole blocks, then a query block or a refresh interval."""
        return self.visible_keys + max(self.block_q + self.block_k, self.refresh_interval)

    @property
    def search_distance(self) -> int:
        """Distance at which the search compares every query with every key when `packed_from` is set."""
        return self.visible_keys


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
