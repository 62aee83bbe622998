"""What a prompt needs, counted before the model reads anything: tokens against its window, bytes against memory."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hip_attention.cache.memory import CacheShape, cache_bytes
from hip_attention.config import HipConfig
from hip_attention.rope_config import Yarn

from hipcli.cli.options import KvStorage, PlacedKind
from hipcli.errors import ExitCode, HipError

if TYPE_CHECKING:
    from hipcli.models.resolve import ModelShape

GIB = 2**30
MEMORY_PARTS = ("weights", "keys_and_values", "summaries", "workspace")

# A chunk of the prompt passes through a layer as a handful of tensors as wide as the hidden state or the feed-forward
# layer, which is about four times wider.
_CHUNK_TOKENS = 2048
_TENSORS_PER_CHUNK = 16
_RUNTIME_BYTES = 3 * GIB // 4  # Python, the libraries and their buffers: peak memory less all else, 1k to 7k tokens


@dataclass(frozen=True)
class DocumentCount:
    """Size of one document; `pages` is None where pages mean nothing, and `unit` is what they are.

    `count_tokens` counts its tokens when somebody asks: that is another pass over the text, which an answer can do
    without.
    """

    path: str
    pages: int | None
    unit: str | None
    characters: int
    count_tokens: Callable[[], int]

    @cached_property
    def tokens(self) -> int:
        return self.count_tokens()

    def as_json(self) -> dict[str, Any]:
        return {"path": self.path, "pages": self.pages, "characters": self.characters, "tokens": self.tokens}


@dataclass(frozen=True)
class Memory:
    """Bytes needed, by what needs them, and bytes free (None where that is not known)."""

    weights: int
    keys_and_values: int
    summaries: int
    workspace: int
    available: int | None

    @property
    def needed(self) -> int:
        return sum(getattr(self, part) for part in MEMORY_PARTS)

    @property
    def excess(self) -> int:
        """Bytes too many; 0 when it fits or nobody knows."""
        return 0 if self.available is None else max(0, self.needed - self.available)


@dataclass(frozen=True)
class Budget:
    """Tokens and memory of one reading: documents and instructions once, then the longest question and its answer.

    `prompt_tokens` counts the documents too; `window` is None for a model that does not say how far it was trained;
    `packed`: positions are packed, or by `yarn` stretched, so that the context may be longer than the window.
    `kv_cache` is what keys and values are kept as, `otherwise` what the other kind would take, None where there is no
    choice. `can_reach`: positions can be made to reach beyond the window. `converses`: `answer_tokens` are for all
    further questions and answers of a conversation.
    """

    documents: tuple[DocumentCount, ...]
    prompt_tokens: int
    answer_tokens: int
    window: int | None
    memory: Memory
    packed: bool = False
    kv_cache: KvStorage = "full"
    otherwise: Memory | None = None
    yarn: Yarn | None = None
    can_reach: bool = True
    converses: bool = False

    @property
    def positions(self) -> PlacedKind:
        """Where keys stand."""
        if self.yarn is not None:
            return "yarn"
        return "packed" if self.packed else "exact"

    @property
    def yarn_factor(self) -> float:
        """How many times as far as in training positions reach."""
        return 1 if self.yarn is None else self.yarn.factor

    @property
    def placed(self) -> str:
        """In words, what makes positions reach farther than the window."""
        return f"stretched {self.yarn_factor:g} times (YaRN)" if self.yarn else self.positions

    @property
    def reach(self) -> int | None:
        """Tokens for which there are positions, None where there is no end of them."""
        if self.packed:
            return None
        return self.window if self.yarn is None else self.yarn.length

    @property
    def instruction_tokens(self) -> int:
        return max(0, self.prompt_tokens - sum(document.tokens for document in self.documents))

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.answer_tokens

    @property
    def excess_tokens(self) -> int:
        return 0 if self.reach is None else max(0, self.total_tokens - self.reach)

    @property
    def fits(self) -> bool:
        return not self.excess_tokens and not self.memory.excess

    def refusal(self, model: str, can_split: bool) -> HipError | None:
        """The error to stop with unless everything fits; `can_split`: reading file by file is a way out."""
        where = self.documents[0].path if len(self.documents) == 1 else f"{len(self.documents)} documents"
        if self.excess_tokens:
            window = f"the window of {model}" + (f", stretched {self.yarn_factor:g} times," if self.yarn else "")
            what = f"{self.total_tokens:,} tokens, {self.excess_tokens:,} more than {window} holds"
        elif self.memory.excess:
            what = f"{self.memory.needed / GIB:.1f} GiB, {self.memory.excess / GIB:.1f} GiB more than is free"
        else:
            return None
        return HipError(f"{where}: needs {what}", self._ways_out(can_split), ExitCode.DOES_NOT_FIT)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, for `--dry-run --json`."""
        return {
            "documents": [document.as_json() for document in self.documents],
            "instruction_tokens": self.instruction_tokens,
            "answer_tokens": self.answer_tokens,
            "total_tokens": self.total_tokens,
            "context_window": self.window,
            "positions": self.positions,
            "yarn_factor": self.yarn_factor,
            "excess_tokens": self.excess_tokens,
            "memory": {
                "kv_cache": self.kv_cache,
                **{f"{name}_gib": _gib(getattr(self.memory, name)) for name in MEMORY_PARTS},
                "needed_gib": _gib(self.memory.needed),
                "available_gib": None if self.memory.available is None else _gib(self.memory.available),
                "excess_gib": _gib(self.memory.excess),
            },
            "fits": self.fits,
        }

    def _ways_out(self, can_split: bool) -> str:
        ways = []
        if any(document.unit == "page" for document in self.documents):
            ways.append("read fewer pages with --pages")
        if can_split and len(self.documents) > 1:
            ways.append("summarize file by file with --each")
        if self.excess_tokens and self.excess_tokens < self.answer_tokens:
            less = self.answer_tokens - self.excess_tokens
            shorter = f"converse less with --room {less}" if self.converses else None
            ways.append(shorter or f"ask for a shorter answer with --max-tokens {less}")
        if self.excess_tokens:
            if self.can_reach:
                ways.append("read past the window with --attention hip --positions auto")
            ways.append("use a model with a longer window with --model")
        else:
            if self.kv_cache == "full" and self.otherwise and not self.otherwise.excess:
                ways.append("keep keys and values in half the memory with --kv-cache int8")
            ways.append("use a smaller model with --model, or --dtype bfloat16")
        return ", or ".join(ways)


def memory(
    shape: "ModelShape",
    tokens: int,
    config: HipConfig,
    value_bytes: int,
    available: int | None,
    kv_cache: KvStorage = "full",
    on_gpu: bool = False,
) -> Memory:
    """Estimate for a context of `tokens` tokens, with `value_bytes` bytes for each number that the model computes."""
    sizes = CacheShape(shape.layers, shape.heads, shape.kv_heads, shape.head_dim)
    cache = cache_bytes(sizes, tokens, config, value_bytes, int8=kv_cache == "int8", on_gpu=on_gpu)
    chunk = min(tokens, _CHUNK_TOKENS)
    workspace = _RUNTIME_BYTES + chunk * shape.hidden * value_bytes * _TENSORS_PER_CHUNK + cache.workspace
    # Files that do not say how many numbers they hold are taken to hold two bytes of each.
    numbers = shape.weight_bytes // 2 if shape.numbers is None else shape.numbers
    if value_bytes == 2 and not on_gpu:
        numbers += shape.tied_numbers  # the head is packed for the CPU's matrix unit, beside the embedding
    return Memory(numbers * value_bytes, cache.keys_and_values, cache.summaries, workspace, available)


def available_memory(device: str) -> int | None:
    """Bytes free on "cpu" or a CUDA device, or None where the system does not say."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    limits = [limit for limit in (_free_memory(), _container_memory()) if limit is not None]
    return min(limits, default=None)


def _gib(size: int) -> float:
    return round(size / GIB, 3)


def _free_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _container_memory() -> int | None:
    """What a container's limit leaves, which /proc/meminfo does not know."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        statistics = (group / "memory.stat").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    # Pages of files can be dropped when memory is short, so they do not count as used.
    cached = sum(int(line.split()[1]) for line in statistics.splitlines() if line.startswith("inactive_file "))
    return max(0, limit - used + cached)
